"""What answers of the national query have in common: who sees what, signatures, notes of what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claim_queries_pb2, claims_pb2, conflicts_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import optional_text, parse_wire_period, require_party
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_facts import (
    METHODOLOGY_ID_LENGTH_MAX,
    PROJECT_ID_LENGTH_MAX,
    require_no_identifier,
)
from tanqiao_bridge.application.claim_search import Filter, NoteQuery
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.queries import ClaimRow
from tanqiao_bridge.application.query_roles import Fact, Sight
from tanqiao_bridge.remote.gateways import Gateways

ANSWER_SECONDS_MAX: Final = 30.0
CERTIFICATE_LENGTH: Final = 32
FILING_CODE_LENGTH: Final = 17
SERIES_ID_LENGTH_MAX: Final = 160
USCC_LENGTH: Final = 18
STATUSES_MAX: Final = 16
QUERY_TEXT_LENGTH_MAX: Final = 4_000


def as_json(message: Message) -> str:
    """Give a query as it is noted and as its page tokens are bound to it."""
    return MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def signed_answer(context: BridgeContext, answer: Message) -> envelope_pb2.Envelope:
    """Sign an answer, whose header is set already."""
    payload, payload_type = answer.SerializeToString(), payload_type_of(answer)
    signer = context.signer_of(payload_type, payload)
    return item_envelopes(sign_batch(signer, payload_type, [payload]))[0]


def signed_reply(
    context: BridgeContext, request: Message, response: Message, as_of_index: int
) -> envelope_pb2.Envelope:
    """Sign a response beside the question that it answers; its own envelope is not set yet."""
    caller = current_caller()
    answer = claim_queries_pb2.SignedAnswer(
        header=context.header((caller.party,)),
        method=caller.method,
        request=request.SerializeToString(),
        response=response.SerializeToString(),
        as_of_index=as_of_index,
    )
    return signed_answer(context, answer)


class QueryNotes:
    """Notes every query for the office of who asked."""

    def __init__(self, writer: GroupCommit[Any, Any]) -> None:
        self._writer = writer

    def note(self, method: str, query: str, as_of_index: int, entry_count: int) -> None:
        """Note a query that was answered; the answer leaves once the note is durable."""
        party = current_caller().party
        noted = NoteQuery(party, method, query[:QUERY_TEXT_LENGTH_MAX], as_of_index, entry_count)
        self._writer.submit(noted).result(ANSWER_SECONDS_MAX)

    def note_checks(self, payloads: Sequence[bytes]) -> None:
        """Note what an office has checked, by the serialised verdicts.

        A region's own node checks before each declaration: that is not noted.
        """
        caller = current_caller()
        if caller.kind != "region" and payloads:
            verdicts = [claims_pb2.Verdict.FromString(payload) for payload in payloads]
            digests = ",".join(verdict.claim_digest.hex() for verdict in verdicts)
            method = caller.method.rpartition("/")[2]
            self.note(method, digests, verdicts[0].as_of_index, len(verdicts))


def own_sight() -> Sight:
    """Give what the caller of this call sees."""
    return Sight.of(current_caller().party)


def shown_claim(row: ClaimRow, status: int, sight: Sight) -> claims_pb2.Claim:
    """Give a claim as far as a caller may see it (`query_roles.TABLE`)."""
    message = claims_pb2.Claim.FromString(row.content)
    message.status = status  # type: ignore[assignment]  # the table's numbers are the wire's
    message.declared_time.FromSeconds(row.declared_at)
    if not sight.sees(Fact.SUBJECT, row.region):
        message.ClearField("subject_uscc")
        message.ClearField("subject_name")
        if message.asset.pseudonyms:  # what is named there may be a person's
            message.asset.ClearField("name")
    if not sight.sees(Fact.QUANTITY, row.region):
        message.ClearField("activity_quantity")
        message.ClearField("activity_unit")
        message.ClearField("quantity_kg")
    if not sight.sees(Fact.POSITION, row.region):
        message.asset.ClearField("geometry")
    if not sight.sees(Fact.TOKENS, row.region):
        message.asset.ClearField("pseudonyms")
    return message


def sees_whole(row: ClaimRow, sight: Sight) -> bool:
    """Whether a caller sees all that a claim states: its stored bytes are shown as they are or not at all."""
    needed = [Fact.SUBJECT, Fact.QUANTITY, Fact.POSITION]
    if claims_pb2.Claim.FromString(row.content).asset.pseudonyms:
        needed.append(Fact.TOKENS)
    return all(sight.sees(fact, row.region) for fact in needed)


def require_may_ask_for_subject(asked: claim_queries_pb2.ClaimFilter, sight: Sight) -> None:
    """Refuse to say whose claims there are to who does not see whose they are.

    Raises:
        DomainError: CALLER_NOT_PERMITTED; a filter by the own region makes it permitted.
    """
    if asked.subject_uscc and not sight.sees(Fact.SUBJECT, asked.region):
        caller = current_caller()
        raise DomainError("CALLER_NOT_PERMITTED", caller=caller.party, method=caller.method)


def lists_as_of(gateways: Gateways, context: BridgeContext) -> list[conflicts_pb2.ListAsOf]:
    """Give how old each outside list is today; one that does not answer says so."""
    today = legal_date(context.clock.now())
    return [
        conflicts_pb2.ListAsOf(
            registry=one.registry,
            answered=one.answered,
            as_of_date=date_message(one.as_of) if one.as_of is not None else None,
            age_days=(today - one.as_of).days if one.as_of is not None else 0,
            import_id=one.import_id,
            source=one.source,
        )
        for one in gateways.lists()
    ]


def read_filter(asked: claim_queries_pb2.ClaimFilter, field: str = "filter") -> Filter:
    """Read a filter strictly; each refusal names the field."""
    if asked.region:
        require_party(asked.region, f"{field}.region", ("region",))
    for name, length_max in (
        ("project_id", PROJECT_ID_LENGTH_MAX),
        ("subject_uscc", USCC_LENGTH),
        ("methodology_id", METHODOLOGY_ID_LENGTH_MAX),
        ("series_id", SERIES_ID_LENGTH_MAX),
        ("certificate_code", CERTIFICATE_LENGTH),
    ):
        optional_text(getattr(asked, name), f"{field}.{name}", length_max=length_max)
    if len(asked.statuses) > STATUSES_MAX:
        raise DomainError(
            "BATCH_TOO_LARGE", field=f"{field}.statuses", limit=STATUSES_MAX, count=len(asked.statuses)
        )
    start_date = end_date = ""
    if asked.HasField("period"):
        period = parse_wire_period(asked.period, f"{field}.period")
        start_date, end_date = period.start.isoformat(), period.end.isoformat()
    return Filter(
        _keys(asked, field),
        int(asked.programme),
        asked.region,
        asked.project_id,
        asked.subject_uscc,
        start_date,
        end_date,
        int(asked.attribute),
        int(asked.object),
        asked.series_id,
    )


def _keys(asked: claim_queries_pb2.ClaimFilter, field: str) -> tuple[str, ...]:
    if asked.HasField("reference") and asked.certificate_code:
        raise DomainError("FIELD_INVALID", field=f"{field}.certificate_code", detail="beside a reference")
    if asked.HasField("reference"):
        require_no_identifier([asked.reference], f"{field}.reference")
        return (asset_key(asset_ref(asked.reference.scheme, asked.reference.value)),)
    if not asked.certificate_code:
        return ()
    if len(asked.certificate_code) != CERTIFICATE_LENGTH:
        raise DomainError(
            "FIELD_INVALID", field=f"{field}.certificate_code", detail=f"{CERTIFICATE_LENGTH} characters"
        )
    return (asset_key(asset_ref("gec_filing_code", asked.certificate_code[:FILING_CODE_LENGTH])),)
