"""ClaimService: is this claimed twice?

Look-ups come first, then the writer; every verdict and receipt is signed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.claims.model import Action
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.errors import item_status
from tanqiao.rpc.validation import (
    optional_text,
    page,
    require_count,
    require_enum,
    require_party,
    require_text,
)
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX, read_claim, require_no_identifier
from tanqiao_bridge.application.claim_receipts import RECEIPT_TYPE, Receipted
from tanqiao_bridge.application.claim_tokens import epochs_of_context, tokens_refusal
from tanqiao_bridge.application.claims import RELEASES, DeclareClaims, Declared, MoveClaim
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.judging import registries_of, verdict_message
from tanqiao_bridge.application.queries import ClaimRow, Queries
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.server.opening import REGIONS

ANSWER_SECONDS_MAX: Final = 30.0
CLAIMS_PER_BATCH_MAX: Final = 1_000
ASKED_AGAIN_MAX: Final = 4
VERDICT_TYPE: Final = payload_type_of(claims_pb2.Verdict)
STATEMENTS: Final = allow(claims_pb2.DeclareStatement, claims_pb2.ClaimStatement, senders=REGIONS)
_ACTIONS: Final = {
    claims_pb2.CLAIM_OBJECT_PROJECT: Action.DECLARE,
    claims_pb2.CLAIM_OBJECT_INSTALMENT: Action.ISSUE,
    claims_pb2.CLAIM_OBJECT_ENTRY: Action.RESERVE,
}


def action_of(claim: claims_pb2.Claim) -> Action:
    """Give what a declaration of this object is about to do."""
    return _ACTIONS.get(claim.object, Action.DECLARE)


Result = TypeVar("Result")


def asked_again(work: Callable[[], Result]) -> Result:
    """Ask the registries again where an alias was decided between their answer and the transaction."""
    for _ in range(ASKED_AGAIN_MAX):
        try:
            return work()
        except DomainError as refusal:
            if refusal.symbol != "CONCURRENT_CHANGE":
                raise
    return work()


class ClaimServicer(claims_pb2_grpc.ClaimServiceServicer):
    """Checks, declares and moves claims."""

    def __init__(
        self,
        context: BridgeContext,
        queries: Queries,
        writer: GroupCommit[Any, Any],
        gateways: Gateways,
    ) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._gateways = gateways
        self._verifier = Verifier(context.network_id, BRIDGE)

    def CheckClaim(
        self, request: claims_pb2.CheckClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.CheckClaimResponse:
        """Judge one claim without storing it; the verdict is signed and has its as-of index."""
        del context
        if not request.HasField("claim"):
            raise DomainError("FIELD_MISSING", field="claim")
        verdicts = self._check([request.claim])
        batch = self._sign(verdicts)
        return claims_pb2.CheckClaimResponse(verdict=verdicts[0], envelope=item_envelopes(batch)[0])

    def BatchCheckClaims(
        self, request: claims_pb2.BatchCheckClaimsRequest, context: grpc.ServicerContext
    ) -> claims_pb2.BatchCheckClaimsResponse:
        """Judge many claims under one signature."""
        del context
        require_count(request.claims, "claims", limit=CLAIMS_PER_BATCH_MAX)
        verdicts = self._check(request.claims)
        return claims_pb2.BatchCheckClaimsResponse(verdicts=verdicts, batch=self._sign(verdicts))

    def _check(self, claims: Sequence[claims_pb2.Claim]) -> list[claims_pb2.Verdict]:
        for claim in claims:
            require_no_identifier(claim.asset.references, "claim.asset.references")
        reads = [read_claim(claim, action=action_of(claim)) for claim in claims]
        epochs = epochs_of_context(self._context)
        for read in reads:
            missing = tokens_refusal(read, epochs) if read.buckets else None
            if missing is not None:
                raise missing
        answers = self._gateways.look_up(self._queries.with_aliases(reads)[0])
        decided_on = legal_date(self._context.clock.now())
        audience = (current_caller().party,)
        judged, size = self._queries.judge(reads, answers, decided_on)
        registries = registries_of(answers)
        return [
            verdict_message(
                self._context.header(audience), read, one, as_of_index=size, registries=registries
            )
            for read, one in zip(reads, judged, strict=True)
        ]

    def _sign(self, verdicts: Sequence[claims_pb2.Verdict]) -> envelope_pb2.EnvelopeBatch:
        payloads = [verdict.SerializeToString() for verdict in verdicts]
        return sign_batch(self._context.signer_of(VERDICT_TYPE, payloads[0]), VERDICT_TYPE, payloads)

    # -- writing -------------------------------------------------------------------------------------------

    def DeclareClaim(
        self, request: claims_pb2.DeclareClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.DeclareClaimResponse:
        """Declare one claim: a place in the queue, before any public notice opens."""
        del context
        opened = self._open(request.envelope, claims_pb2.DeclareStatement)
        result = self._declare([self._declared(opened)])[0]
        if isinstance(result, DomainError):
            raise result
        return claims_pb2.DeclareClaimResponse(
            receipt=claims_pb2.ClaimReceipt.FromString(result.payload), envelope=result.envelope
        )

    def BatchDeclareClaims(
        self, request: claims_pb2.BatchDeclareClaimsRequest, context: grpc.ServicerContext
    ) -> claims_pb2.BatchDeclareClaimsResponse:
        """Declare many claims: one transaction, one signature; a status for each."""
        del context
        if not request.HasField("batch"):
            raise DomainError("FIELD_MISSING", field="batch")
        items = self._verifier.open_batch(
            request.batch,
            self._context.directory,
            allowed=STATEMENTS,
            peer=current_caller().party,
            at_index=self._context.log_size,
        )
        declared: list[Declared | DomainError] = []
        for item in items:
            try:
                if isinstance(item, DomainError):
                    raise item
                declared.append(self._declared(item))
            except DomainError as refusal:
                declared.append(refusal)
        results = iter(self._declare([item for item in declared if isinstance(item, Declared)]))
        response = claims_pb2.BatchDeclareClaimsResponse()
        receipts = []
        for one in declared:
            result = one if isinstance(one, DomainError) else next(results)
            response.statuses.append(item_status(result if isinstance(result, DomainError) else None))
            if isinstance(result, Receipted):
                receipts.append(result.payload)
        if receipts:
            signer = self._context.signer_of(RECEIPT_TYPE, receipts[0])
            response.receipts.CopyFrom(sign_batch(signer, RECEIPT_TYPE, receipts))
        return response

    def RegisterClaim(
        self, request: claims_pb2.RegisterClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.RegisterClaimResponse:
        """Move a claim to NOTICE or REGISTERED; judged again."""
        del context
        result = self._move(request.envelope, releases=False)
        return claims_pb2.RegisterClaimResponse(
            receipt=claims_pb2.ClaimReceipt.FromString(result.payload), envelope=result.envelope
        )

    def ReleaseClaim(
        self, request: claims_pb2.ReleaseClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.ReleaseClaimResponse:
        """Withdraw or reject a claim."""
        del context
        result = self._move(request.envelope, releases=True)
        return claims_pb2.ReleaseClaimResponse(
            receipt=claims_pb2.ClaimReceipt.FromString(result.payload), envelope=result.envelope
        )

    def _open(self, envelope: envelope_pb2.Envelope, wanted: type) -> Opened:
        if not envelope.ByteSize():
            raise DomainError("FIELD_MISSING", field="envelope")
        opened = self._verifier.open_envelope(
            envelope,
            self._context.directory,
            allowed=STATEMENTS,
            peer=current_caller().party,
            at_index=self._context.log_size,
        )
        if not isinstance(opened.message, wanted):
            raise DomainError(
                "PAYLOAD_TYPE_NOT_ALLOWED", sender=opened.header.sender, payload_type=opened.payload_type
            )
        return opened

    def _declared(self, opened: Opened) -> Declared:
        if not isinstance(opened.message, claims_pb2.DeclareStatement):
            raise DomainError(
                "PAYLOAD_TYPE_NOT_ALLOWED", sender=opened.header.sender, payload_type=opened.payload_type
            )
        claim = opened.message.claim
        require_no_identifier(claim.asset.references, "claim.asset.references")
        return Declared(
            opened,
            read_claim(
                claim,
                action=action_of(claim),
                status=claims_pb2.CLAIM_STATUS_DECLARED,
            ),
        )

    def _declare(self, items: Sequence[Declared]) -> list[Receipted | DomainError]:
        if not items:
            return []
        party = current_caller().party

        def declare() -> list[Receipted | DomainError]:
            wire, asked = self._queries.with_aliases([item.read for item in items])
            answers = self._gateways.look_up(wire)
            command = DeclareClaims(party, tuple(items), answers, asked)
            results: list[Receipted | DomainError] = self._writer.submit(command).result(ANSWER_SECONDS_MAX)
            return results

        return asked_again(declare)

    def _move(self, envelope: envelope_pb2.Envelope, *, releases: bool) -> Receipted:
        opened = self._open(envelope, claims_pb2.ClaimStatement)
        statement: claims_pb2.ClaimStatement = opened.message
        require_text(statement.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        require_enum(statement.status, "status")
        optional_text(statement.reason, "reason")
        if (statement.status in RELEASES) is not releases:
            raise DomainError(
                "FIELD_INVALID", field="status", detail=claims_pb2.ClaimStatus.Name(statement.status)
            )
        party = current_caller().party

        def move() -> Receipted:
            answers, asked = Answers(), frozenset[str]()
            if not releases:
                read = self._queries.stored_claim(statement.claim_id)
                wire, asked = self._queries.with_aliases([read])
                answers = self._gateways.look_up(wire)
            command = MoveClaim(party, opened, statement, answers, asked)
            result: Receipted = self._writer.submit(command).result(ANSWER_SECONDS_MAX)
            return result

        return asked_again(move)

    # -- reading -------------------------------------------------------------------------------------------

    def GetClaim(
        self, request: claims_pb2.GetClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.GetClaimResponse:
        """Give a claim with every receipt, oldest first."""
        del context
        claim_id = require_text(request.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        row, receipts = self._queries.claim(claim_id)
        return claims_pb2.GetClaimResponse(
            claim=_claim_message(row),
            receipts=[envelope_pb2.Envelope.FromString(receipt.envelope) for receipt in receipts],
        )

    def ListClaims(
        self, request: claims_pb2.ListClaimsRequest, context: grpc.ServicerContext
    ) -> claims_pb2.ListClaimsResponse:
        """Give claims in order of id, filtered by region, programme and reference."""
        del context
        key = ""
        if request.HasField("reference"):
            require_no_identifier([request.reference], "reference")
            key = asset_key(asset_ref(request.reference.scheme, request.reference.value))
        if request.region:
            require_party(request.region, "region", ("region",))
        asked = page(request.page_size, request.page_token, request.region, request.programme, key)
        rows, size = self._queries.claims(
            region_party=request.region,
            programme=int(request.programme),
            asset_key=key,
            after=asked.after,
            limit=asked.size + 1,
        )
        shown = rows[: asked.size]
        return claims_pb2.ListClaimsResponse(
            claims=[_claim_message(row) for row in shown],
            next_page_token=asked.token(shown[-1].claim_id) if len(rows) > asked.size else "",
            as_of_index=size,
        )


def _claim_message(row: ClaimRow) -> claims_pb2.Claim:
    message = claims_pb2.Claim.FromString(row.content)
    message.status = row.status  # type: ignore[assignment]  # the table's numbers are the wire's
    message.declared_time.FromSeconds(row.declared_at)
    return message
