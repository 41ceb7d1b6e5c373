"""Tokens of this region's live claims under a new key of the bridge, in the background (CLAIMS section 6).

The bridge says which of the region's claims the newest key does not find; what they are about stands in the
region's own registers. An epoch ends when no claim is left that rests on it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, Protocol

import sqlalchemy as sa
import structlog

from tanqiao.api.bridge.v1 import claims_pb2, tokens_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.tokens import TokenBook
from tanqiao_region.storage import registers as store

RENEW_SECONDS: Final = 60.0
"""Pause between two looks at what the newest key does not find."""
PAGES_PER_ROUND_MAX: Final = 1_000

_log = structlog.get_logger("tanqiao.region.token_renewal")


class Renewals(Protocol):
    """The bridge as it is told of renewed tokens."""

    def stale_claims(self, page_token: str) -> tuple[list[claims_pb2.Claim], str]:
        """Give a page of this node's live claims without tokens under the newest key, and the next page."""
        ...  # pragma: no cover - a protocol has no body

    def renew(self, renewed: Sequence[tokens_pb2.RenewedTokens]) -> None:
        """Hand in tokens under the newest key; the same ones again change nothing."""
        ...  # pragma: no cover - a protocol has no body


class TokenRenewal:
    """Renews in a thread of its own."""

    def __init__(self, database: Database, tokens: TokenBook, bridge: Renewals) -> None:
        self._database = database
        self._tokens = tokens
        self._bridge = bridge
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def run(self) -> int:
        """Renew what is stale; how many claims were."""
        renewed, page_token = 0, ""
        for _ in range(PAGES_PER_ROUND_MAX):
            claims, page_token = self._bridge.stale_claims(page_token)
            made = self._made(claims)
            if made:
                self._bridge.renew(made)
            renewed += len(made)
            if not page_token:
                break
        return renewed

    def _made(self, claims: Sequence[claims_pb2.Claim]) -> list[tokens_pb2.RenewedTokens]:
        if not claims:
            return []
        newest = self._tokens.epochs()[-1]
        made = []
        for claim in claims:
            with self._database.reading() as connection:
                asset = asset_of(connection, claim)
            if asset is None:
                _log.warning("tokens_not_renewed", claim=claim.claim_id, reason="its register is not known")
                continue
            named = claims_pb2.Claim()
            named.CopyFrom(claim)
            named.asset.CopyFrom(asset)
            pseudonyms = self._tokens.renewed(named, newest)
            made.append(tokens_pb2.RenewedTokens(claim_id=claim.claim_id, pseudonyms=pseudonyms))
        return made

    def start(self) -> None:
        """Look now and every `RENEW_SECONDS`."""
        self._thread = threading.Thread(target=self._run_for_ever, name="token-renewal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run_for_ever(self) -> None:
        while not self._stopping.wait(RENEW_SECONDS):
            try:
                self.run()
            except DomainError as refusal:
                _log.warning("tokens_not_renewed", reason=refusal.symbol)
            except Exception:  # noqa: BLE001 - the thread must live on; the next round tries again
                _log.exception("renewing_failed")


def asset_of(connection: sa.Connection, claim: claims_pb2.Claim) -> claims_pb2.Asset | None:
    """Give the asset of a claim as this region's registers have it, with its identifiers."""
    project = store.load_project(connection, claim.project_id)
    if project is not None:
        return project.project.asset
    resource = store.load_resource(connection, claim.project_id)
    return None if resource is None else resource.asset
