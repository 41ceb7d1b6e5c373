"""Judging claims without storing them: one, a batch, or a stream of batches (CLAIMS section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.keys import subject_key
from tanqiao.claims.model import Action
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.together import Together
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.directory import KeyEntry
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_aliases import ASSET_PREFIX, AliasBook, with_alias_references
from tanqiao_bridge.application.claim_facts import ReadClaim, read_claim, require_no_identifier
from tanqiao_bridge.application.claim_tokens import epochs_of_context, tokens_refusal
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.judging import judge_claim
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.verdicts import Verdicts
from tanqiao_bridge.remote.gateways import Gateways

VERDICT_TYPE: Final = payload_type_of(claims_pb2.Verdict)
_ACTIONS: Final = {
    claims_pb2.CLAIM_OBJECT_PROJECT: Action.DECLARE,
    claims_pb2.CLAIM_OBJECT_INSTALMENT: Action.ISSUE,
    claims_pb2.CLAIM_OBJECT_ENTRY: Action.RESERVE,
}
CHECKS_PER_RUN_MAX: Final = 1_000
CHECK_LANES: Final = 2
"""Runs of single checks side by side: one is judged while the registries are asked for the other."""
CHECKS_WAITING_MAX: Final = 4_096
Checked = tuple[claims_pb2.Verdict, envelope_pb2.Envelope]
"""A verdict, and the same as signed."""


def action_of(claim: claims_pb2.Claim) -> Action:
    """Give what a declaration of this object is about to do."""
    return _ACTIONS.get(claim.object, Action.DECLARE)


def _listed_keys(read: ReadClaim, aliases: AliasBook) -> Sequence[str]:
    """Give the keys under which a list may hold the asset of a claim, or its subject."""
    keys: Sequence[str] = aliases.expand(read.keys) if aliases.roots else read.keys
    if read.polygons is not None:  # no list knows the cells of our grid, and there may be thousands
        keys = [key for key in keys if key.startswith(ASSET_PREFIX)]
    subject = read.subject_uscc
    return keys if subject is None else (*keys, subject_key(subject))


class ClaimChecks:
    """Reads one snapshot of the index, asks the gateways what they are not known to lack, then judges."""

    def __init__(self, context: BridgeContext, queries: Queries, gateways: Gateways) -> None:
        self._context = context
        self._queries = queries
        self._gateways = gateways
        self._together: Together[tuple[ReadClaim, str], Checked] = Together(
            self._check, most=CHECKS_PER_RUN_MAX, lanes=CHECK_LANES, waiting=CHECKS_WAITING_MAX
        )

    def one(self, claim: claims_pb2.Claim) -> Checked:
        """Judge a claim together with those that others ask for at the same time: one signature for all."""
        read = self.read(claim, epochs_of_context(self._context) if claim.asset.pseudonyms else ())
        return self._together.run((read, current_caller().party))

    def _check(self, asked: Sequence[tuple[ReadClaim, str]]) -> list[Checked]:
        payloads = self.judge([read for read, _ in asked], [party for _, party in asked])
        verdicts = [claims_pb2.Verdict.FromString(payload) for payload in payloads]
        return list(zip(verdicts, item_envelopes(self.sign(payloads)), strict=True))

    def read(self, claim: claims_pb2.Claim, epochs: Sequence[KeyEntry]) -> ReadClaim:
        """Read a claim strictly, its tokens under every key epoch that has live claims.

        Raises:
            DomainError: what `read_claim` raises; PERSONAL_IDENTIFIER_SENT, and the reasons of tokens.
        """
        require_no_identifier(claim.asset.references, "claim.asset.references")
        read = read_claim(claim, action=action_of(claim))
        missing = tokens_refusal(read, epochs) if read.buckets else None
        if missing is not None:
            raise missing
        return read

    def batch(self, claims: Sequence[claims_pb2.Claim]) -> list[bytes]:
        """Judge claims, each alone; the serialised verdicts. One that can not be read refuses them all."""
        epochs = epochs_of_context(self._context)
        return self.judge([self.read(claim, epochs) for claim in claims])

    def answers(self, claims: Sequence[claims_pb2.Claim]) -> list[bytes | DomainError]:
        """Judge claims, each alone; the verdict of each or why it can not be read, in the same order."""
        epochs = epochs_of_context(self._context)
        read: list[ReadClaim | DomainError] = []
        for claim in claims:
            try:
                read.append(self.read(claim, epochs))
            except DomainError as refusal:
                read.append(refusal)
        verdicts = iter(self.judge([one for one in read if not isinstance(one, DomainError)]))
        return [one if isinstance(one, DomainError) else next(verdicts) for one in read]

    def judge(self, reads: Sequence[ReadClaim], parties: Sequence[str] = ()) -> list[bytes]:
        """Judge claims that were read; `parties` are those that the verdicts are for, else the caller."""
        if not reads:
            return []
        index, size = self._queries.index_of(reads)
        wire, _ = with_alias_references(reads, index.aliases)
        answers = self._gateways.look_up_recent(wire, [_listed_keys(read, index.aliases) for read in reads])
        decided_on = legal_date(self._context.clock.now())
        readers = parties or [current_caller().party] * len(reads)
        judged = [
            judge_claim(read, index, answers, position, decided_on=decided_on)
            for position, read in enumerate(reads)
        ]
        payload = Verdicts.of(self._context, size, answers, len(reads)).payload
        return list(map(payload, readers, reads, judged))

    def sign(self, payloads: Sequence[bytes]) -> envelope_pb2.EnvelopeBatch:
        """Sign serialised verdicts, at least one, under one signature."""
        return sign_batch(self._context.signer_of(VERDICT_TYPE, payloads[0]), VERDICT_TYPE, payloads)
