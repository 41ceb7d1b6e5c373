"""A bridge for tests of the registers: the line of the ledger's tests, and claims with real signatures.

It judges nothing: a test says which verdict a claim gets. Statements are verified, and the same statement
again gets the receipt that was given first, as with the real one.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.server import Registration, ServerOptions, build_server
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao.testing.network import BRIDGE, NetworkOfTest
from tests.contract.region import fake_bridge

SERVICE = "/tanqiao.api.bridge.v1.ClaimService"
METHODS = (
    "CheckClaim",
    "BatchCheckClaims",
    "DeclareClaim",
    "BatchDeclareClaims",
    "RegisterClaim",
    "ReleaseClaim",
    "GetClaim",
    "ListClaims",
)
CALLERS = {**fake_bridge.CALLERS, **{f"{SERVICE}/{method}": ("region/*",) for method in METHODS}}
STATEMENTS = allow(claims_pb2.DeclareStatement, claims_pb2.ClaimStatement, senders=("region/*",))

Judge = Callable[[claims_pb2.Claim], claims_pb2.Verdict]


def allowed(_claim: claims_pb2.Claim | None = None) -> claims_pb2.Verdict:
    """A verdict that lets the claim pass."""
    return claims_pb2.Verdict(verdict=claims_pb2.VERDICT_KIND_ALLOW, matrix_version="test")


def barred(
    symbol: str,
    *,
    level: str = "project",
    other: Any = claims_pb2.PROGRAMME_CCER,
    article: str = "第十四条 / Art. 14",
    kind: Any = claims_pb2.VERDICT_KIND_BLOCK,
    region: str = "",
    **metadata: str,
) -> Judge:
    """A verdict that stops every claim, with its reason."""

    def judge(_claim: claims_pb2.Claim) -> claims_pb2.Verdict:
        return claims_pb2.Verdict(
            verdict=kind,
            level=level,
            article=article,
            refusal=to_refusal(DomainError(symbol, article=article, **metadata)),
            colliding_claims=[
                claims_pb2.CollidingClaim(
                    claim_id="ccer:CCER-01-001",
                    programme=other,
                    reference="CCER-01-001",
                    status=claims_pb2.CLAIM_STATUS_REGISTERED,
                    region=region,
                    overlap=values_pb2.Period(
                        start_date=date_message("2026-01-01"), end_date=date_message("2026-02-01")
                    ),
                )
            ],
            registries=[
                claims_pb2.RegistryAsOf(registry="ccer", answered=True, as_of_date=date_message("2026-03-01"))
            ],
            matrix_version="test",
        )

    return judge


class ClaimServicer(claims_pb2_grpc.ClaimServiceServicer):
    """See the module's text. `judge` is what a test replaces; `lose_answers` loses what was stored."""

    def __init__(self, network: NetworkOfTest, legal_date: date) -> None:
        self.network = network
        self.signer = network.signer(BRIDGE)
        self.judge: Judge = allowed
        self.refuse_moves: DomainError | None = None
        self.lose_answers = 0
        self.forge_answers = 0
        self.received: list[str] = []
        self.claims: dict[str, claims_pb2.Claim] = {}
        self.status: dict[str, int] = {}
        self._receipts: dict[bytes, envelope_pb2.Envelope] = {}
        self._verifier = Verifier(network.network_id, BRIDGE)
        self._index = itertools.count(1)
        self._lock = threading.Lock()

    def CheckClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        verdict = self.judge(request.claim)
        verdict.header.CopyFrom(self._header((current_caller().party,)))
        envelope = sign_envelope(self.signer, payload_type_of(verdict), verdict.SerializeToString())
        return claims_pb2.CheckClaimResponse(verdict=verdict, envelope=envelope)

    def DeclareClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        envelope = self._answer(request.envelope, self._declare)
        return claims_pb2.DeclareClaimResponse(receipt=_receipt(envelope), envelope=envelope)

    def BatchCheckClaims(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise DomainError("METHOD_UNKNOWN", method="BatchCheckClaims")

    def BatchDeclareClaims(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise DomainError("METHOD_UNKNOWN", method="BatchDeclareClaims")

    def GetClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise DomainError("METHOD_UNKNOWN", method="GetClaim")

    def ListClaims(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise DomainError("METHOD_UNKNOWN", method="ListClaims")

    def RegisterClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        envelope = self._answer(request.envelope, self._move)
        return claims_pb2.RegisterClaimResponse(receipt=_receipt(envelope), envelope=envelope)

    def ReleaseClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        envelope = self._answer(request.envelope, self._move)
        return claims_pb2.ReleaseClaimResponse(receipt=_receipt(envelope), envelope=envelope)

    def _answer(
        self, envelope: envelope_pb2.Envelope, decide: Callable[[Opened], claims_pb2.ClaimReceipt]
    ) -> envelope_pb2.Envelope:
        opened = self._verifier.open_envelope(
            envelope,
            self.network.directory,
            allowed=STATEMENTS,
            peer=current_caller().party,
            at_index=0,
        )
        with self._lock:
            self.received.append(type(opened.message).__name__)
            known = self._receipts.get(opened.message_hash)
            if known is None:
                receipt = decide(opened)
                receipt.header.CopyFrom(self._header((opened.header.sender,), prev_hash=opened.message_hash))
                receipt.log_index = next(self._index)
                known = sign_envelope(self.signer, payload_type_of(receipt), receipt.SerializeToString())
                self._receipts[opened.message_hash] = known
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise DomainError("BUSY", detail="the answer is lost")
        if self.forge_answers > 0:
            self.forge_answers -= 1
            forged = envelope_pb2.Envelope()
            forged.CopyFrom(known)
            forged.signatures[0].signature = bytes(64)
            return forged
        return known

    def _declare(self, opened: Opened) -> claims_pb2.ClaimReceipt:
        claim = opened.message.claim
        if claim.claim_id in self.claims:
            raise DomainError("REQUEST_ID_REUSED", field="claim.claim_id")
        verdict = self.judge(claim)
        live = verdict.verdict in (
            claims_pb2.VERDICT_KIND_ALLOW,
            claims_pb2.VERDICT_KIND_FREEZE_OTHER,
        )
        self.claims[claim.claim_id] = claim
        status = claims_pb2.CLAIM_STATUS_DECLARED if live else claims_pb2.CLAIM_STATUS_REJECTED
        self.status[claim.claim_id] = status
        return claims_pb2.ClaimReceipt(claim_id=claim.claim_id, status=status, verdict=verdict)

    def _move(self, opened: Opened) -> claims_pb2.ClaimReceipt:
        if self.refuse_moves is not None:
            raise self.refuse_moves
        statement = opened.message
        if statement.claim_id not in self.claims:
            raise DomainError("CLAIM_UNKNOWN", claim_id=statement.claim_id)
        self.status[statement.claim_id] = statement.status
        return claims_pb2.ClaimReceipt(
            claim_id=statement.claim_id, status=statement.status, verdict=allowed()
        )

    def _header(self, audience: tuple[str, ...], prev_hash: bytes = b"") -> envelope_pb2.Header:
        return build_header(
            self.signer,
            network_id=self.network.network_id,
            audience=audience,
            message_id=secrets.token_bytes(16),
            prev_hash=prev_hash,
        )


def _receipt(envelope: envelope_pb2.Envelope) -> claims_pb2.ClaimReceipt:
    return claims_pb2.ClaimReceipt.FromString(envelope.payload)


class ClaimBridge(fake_bridge.FakeBridge):
    """The line and the claims behind one address."""

    def __init__(self, network: NetworkOfTest, legal_date: date = date(2026, 3, 2)) -> None:
        super().__init__(network, legal_date)
        self.claims = ClaimServicer(network, legal_date)

    def start(self, address: str = "127.0.0.1:0") -> str:
        tls = TlsFiles.of(self.network.network.node(BRIDGE) / "tls")
        self.server = build_server(
            ServerOptions(address, tls, self.network.network_id, BRIDGE),
            [
                Registration(sync_pb2_grpc.add_SyncServiceServicer_to_server, self),
                Registration(claims_pb2_grpc.add_ClaimServiceServicer_to_server, self.claims),
            ],
            CALLERS,
            now=datetime.now(UTC),
        )
        self.server.start()
        return self.server.address
