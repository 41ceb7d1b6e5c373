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
from tanqiao.db.group_commit import GroupCommit
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
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.forms import bytes_field
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX, read_claim, require_no_identifier
from tanqiao_bridge.application.claim_receipts import RECEIPT_TYPE, Receipted
from tanqiao_bridge.application.claims import RELEASES, DeclareClaims, Declared, MoveClaim
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.server.claim_answers import QueryNotes, own_sight, shown_claim, signed_reply
from tanqiao_bridge.server.claim_checks import ClaimChecks, action_of
from tanqiao_bridge.server.opening import REGIONS

ANSWER_SECONDS_MAX: Final = 30.0
CLAIMS_PER_BATCH_MAX: Final = 1_000
ASKED_AGAIN_MAX: Final = 4
_VERDICTS: Final = claims_pb2.BatchCheckClaimsResponse.VERDICTS_FIELD_NUMBER
_BATCH: Final = claims_pb2.BatchCheckClaimsResponse.BATCH_FIELD_NUMBER
STATEMENTS: Final = allow(claims_pb2.DeclareStatement, claims_pb2.ClaimStatement, senders=REGIONS)

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
        self._checks = ClaimChecks(context, queries, gateways)
        self._notes = QueryNotes(writer)
        self._verifier = Verifier(context.network_id, BRIDGE)

    def CheckClaim(
        self, request: claims_pb2.CheckClaimRequest, context: grpc.ServicerContext
    ) -> claims_pb2.CheckClaimResponse:
        """Judge one claim without storing it; the verdict is signed and has its as-of index."""
        del context
        if not request.HasField("claim"):
            raise DomainError("FIELD_MISSING", field="claim")
        verdict, envelope = self._checks.one(request.claim)
        self._notes.note_checks([envelope.payload])
        return claims_pb2.CheckClaimResponse(verdict=verdict, envelope=envelope)

    def BatchCheckClaims(  # type: ignore[override] # it gives the answer's bytes (`tanqiao.rpc.gate`)
        self, request: claims_pb2.BatchCheckClaimsRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Judge many claims under one signature; the verdicts stand in the answer as they were signed."""
        del context
        require_count(request.claims, "claims", limit=CLAIMS_PER_BATCH_MAX)
        payloads = self._checks.batch(request.claims)
        self._notes.note_checks(payloads)
        answer = [bytes_field(_VERDICTS, payload) for payload in payloads]
        answer.append(bytes_field(_BATCH, self._checks.sign(payloads).SerializeToString()))
        return b"".join(answer)

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
        row, receipts, size = self._queries.claim(claim_id)
        response = claims_pb2.GetClaimResponse(
            claim=shown_claim(row, row.status, own_sight()),
            receipts=[envelope_pb2.Envelope.FromString(receipt.envelope) for receipt in receipts],
            as_of_index=size,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, size))
        return response

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
        sight = own_sight()
        rows, size = self._queries.claims(
            region_party=request.region,
            programme=int(request.programme),
            asset_key=key,
            after=asked.after,
            limit=asked.size + 1,
        )
        shown = rows[: asked.size]
        response = claims_pb2.ListClaimsResponse(
            claims=[shown_claim(row, row.status, sight) for row in shown],
            next_page_token=asked.token(shown[-1].claim_id) if len(rows) > asked.size else "",
            as_of_index=size,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, size))
        return response
