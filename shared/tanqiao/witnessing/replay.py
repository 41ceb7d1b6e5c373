"""What a leaf must show before a witness cosigns a tree with it, and what follows from it.

A witness does not cosign on hashes alone. For each leaf it opens the messages that the leaf names, checks
that their hashes are those and their signatures hold under the keys that the log itself has stated up to
there, and then checks against what it has replayed before: one decision for each transfer, blocks at their
source, a registered claim under each Issue. What it cannot read it refuses: the bridge writes no kind of
leaf that a witness has not announced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    claims_pb2,
    log_pb2,
    messages_pb2,
    reconcile_pb2,
    recovery_pb2,
)
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.offline.location_map import LOCATION_ROOT_KIND
from tanqiao.offline.replay import BLOCKS_IN_LEAF_MAX
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.protocol.types import SINK, ZERO_HASH, Kind, LockFacts, Outcome, TransferKey
from tanqiao.rpc.protocol_facts import (
    blocks_of,
    decision_facts,
    issue_facts,
    lock_facts,
    ready_facts,
    receipt_facts,
)
from tanqiao.signing.approvals import open_correction, open_freeze
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.federation import Federation, authority_of, open_key_record
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.verify import AllowedMessage, Opened, Verifier, allow
from tanqiao.signing.witness_groups import WITNESS_GROUP_KIND, GroupChange
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao.witnessing.groups import open_change

HELD: Final = 1
USED: Final = 2
CANCELLED: Final = 3
BODIES_WANTED: Final = 2
ROOTS_MAX: Final = 8

Place = tuple[str, int]
"""Region and state: held, used or cancelled there."""

_REGIONS: Final = ("region/*",)
_PROMISED: Final = allow(
    messages_pb2.LockAssertion, messages_pb2.Use, senders=_REGIONS, audience=BRIDGE, revoked_allowed=True
)
_ANSWERED: Final = allow(
    messages_pb2.Ready, messages_pb2.Refuse, senders=_REGIONS, audience=BRIDGE, revoked_allowed=True
)
_ISSUED: Final = allow(messages_pb2.Issue, senders=_REGIONS, audience=BRIDGE)
_AGREED: Final = allow(
    messages_pb2.RecognitionRecord,
    senders=("authority/*",),
    role=KeyRole.ROOT,
    audience=BRIDGE,
    signatures_max=ROOTS_MAX,
)
_DECIDED_BY_TWO: Final = allow(
    cases_pb2.CaseResolution,
    cases_pb2.AliasDecision,
    senders=("authority/*",),
    role=KeyRole.APPROVER,
    audience=BRIDGE,
    signatures_max=ROOTS_MAX,
)
_STATED: Final = allow(reconcile_pb2.ReconcileStatement, senders=_REGIONS, audience=BRIDGE)
_BEGUN: Final = allow(
    recovery_pb2.EpochRecord, senders=(f"authority/{BRIDGE}",), role=KeyRole.ROOT, audience=BRIDGE
)
_USED_PLACES: Final = {Kind.RETIRE: USED, Kind.CANCEL: CANCELLED}


@dataclass(frozen=True, slots=True)
class SeenLeaf:
    """A leaf as it was fetched, with the messages beside it."""

    log_index: int
    data: bytes
    envelopes: tuple[envelope_pb2.Envelope, ...] = ()
    sealed_record: bytes = b""
    """What only the holder of the recovery key can read: it is kept, not judged."""


def seen_leaf(leaf: log_pb2.LogLeaf) -> SeenLeaf:
    """Give a leaf of the wire as it is examined."""
    return SeenLeaf(leaf.log_index, leaf.leaf, tuple(leaf.envelopes), leaf.sealed_record)


@dataclass(slots=True)
class Known:
    """What a witness has replayed before, as far as some leaves touch it; changed as they are applied.

    `decided`, `issued` and `claimed` hold what is known and gather what is new in their `fresh_` twins.
    """

    directory: KeyDirectory
    book: LocationBook[Place]
    decided: set[TransferKey] = field(default_factory=set)
    issued: set[TransferKey] = field(default_factory=set)
    claimed: dict[bytes, str] = field(default_factory=dict)
    fresh_decided: list[tuple[TransferKey, int]] = field(default_factory=list)
    fresh_issued: list[tuple[TransferKey, int]] = field(default_factory=list)
    fresh_claimed: list[tuple[bytes, str, int]] = field(default_factory=list)
    changes: list[GroupChange] = field(default_factory=list)
    """Changes of the group of witnesses; `fresh_changes` are those of these leaves."""
    fresh_changes: list[GroupChange] = field(default_factory=list)
    is_map_root: Callable[[int, bytes], bool] = lambda _size, _root: False
    """Whether a root is that of the stored map; `book` must not have changed yet."""


@dataclass(slots=True)
class Touched:
    """What some leaves look at: loaded at once, before they are applied."""

    transfers: set[TransferKey] = field(default_factory=set)
    issues: set[TransferKey] = field(default_factory=set)
    receipts: set[bytes] = field(default_factory=set)
    blocks: list[UnitBlock] = field(default_factory=list)


@dataclass(slots=True)
class OpenedLeaf:
    """A leaf whose messages hold, and how it is applied to what is known."""

    seen: SeenLeaf
    apply: Callable[[Known], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Leaves that were opened: what they touch, and the keys before and behind them."""

    leaves: Sequence[SeenLeaf]
    opened: Sequence[OpenedLeaf]
    touched: Touched
    before: KeyDirectory
    after: KeyDirectory

    @property
    def first(self) -> int:
        """Index of its first leaf."""
        return self.leaves[0].log_index

    @property
    def end(self) -> int:
        """Index behind its last leaf."""
        return self.first + len(self.leaves)

    def between(self, first: int, end: int) -> Stretch:
        """Give a part; what it touches may be more than its own leaves do. No leaf of it changes keys."""
        return Stretch(
            self.leaves[first - self.first : end - self.first],
            [one for one in self.opened if first <= one.seen.log_index < end],
            self.touched,
            self.before,
            self.after,
        )


class LeafRefusedError(TlogError):
    """A leaf that does not show what it must: `WITNESS_LEAF_REFUSED`.

    Args:
        seen: the leaf, with the messages that stood beside it.
        detail: what it does not show.
    """

    def __init__(self, seen: SeenLeaf, detail: str) -> None:
        super().__init__("WITNESS_LEAF_REFUSED", f"leaf {seen.log_index}: {detail}")
        self.seen = seen


class Replay:
    """Opens and applies leaves.

    Args:
        federation: the network's trust anchors; nothing else is believed.
    """

    def __init__(self, federation: Federation) -> None:
        self._network_id = federation.network_id
        self._has_first_group = bool(federation.witness_group.witnesses)
        self._anchors = {anchor.entry.key_id: anchor for anchor in federation.anchors}
        self._verifier = Verifier(federation.network_id, BRIDGE)
        self._own: dict[str, dict[str, AllowedMessage]] = {}
        self._openers: dict[str, Callable[[_Leaf, Touched], Callable[[Known], None]]] = {
            "decision": self._decision,
            "issue": self._issue,
            "claim": self._claim,
            "key_record": self._key_record,
            "trust_anchor": self._trust_anchor,
            "recognition": self._recognition,
            "freeze": self._order,
            "unfreeze": self._order,
            "correction": self._correction,
            "reconciliation": self._reconciliation,
            "bridge_epoch": self._epoch,
            "case_resolution": self._decided,
            "asset_alias": self._decided,
            LOCATION_ROOT_KIND: self._location_root,
            WITNESS_GROUP_KIND: self._witness_group,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of leaf that are validated here: what this witness announces."""
        return tuple(sorted(self._openers))

    def open(
        self, leaves: Sequence[SeenLeaf], directory: KeyDirectory, settled: Collection[int] = ()
    ) -> Stretch:
        """Check leaves one by one against keys alone; what they look at, and the keys after them.

        Args:
            leaves: in order.
            directory: keys as the log has stated them before.
            settled: indexes of leaves that a later Correction has settled (`settles`): they have no effect.

        Raises:
            TlogError: `WITNESS_LEAF_REFUSED` with the index and the reason.
        """
        before, touched = directory, Touched()
        opened = []
        for seen in leaves:
            if seen.log_index in settled:
                continue
            with _Refusals(seen):
                leaf = _Leaf(seen, decode_leaf(seen.data), directory)
                opener = self._openers.get(leaf.leaf.kind)
                _hold(opener is not None, f"a kind that this witness does not validate: {leaf.leaf.kind}")
                if opener is not None:
                    opened.append(OpenedLeaf(seen, opener(leaf, touched)))
                directory = leaf.directory
        return Stretch(leaves, opened, touched, before, directory)

    def keys_behind(self, leaves: Iterable[SeenLeaf], directory: KeyDirectory) -> KeyDirectory:
        """Give the keys behind leaves, as far as the records there hold; all else is passed over."""
        for seen in leaves:
            try:
                leaf = _Leaf(seen, decode_leaf(seen.data), directory)
                if leaf.leaf.kind == "key_record":
                    self._key_record(leaf, Touched())
                    directory = leaf.directory
            except (TlogError, DomainError):
                continue
        return directory

    def settles(self, refused: SeenLeaf, later: SeenLeaf, directory: KeyDirectory) -> KeyDirectory | None:
        """Look whether a later leaf settles a refused decision (PROTOCOL row 14, section 6).

        It is a Correction that names the transfer, signed by two approvers of each of the two regions which
        the refused leaf names: they say where the units are, whatever that leaf says.

        Returns:
            None if it does; otherwise the keys as they are known behind it.
        """
        try:
            decided = decode_leaf(refused.data)
            leaf = _Leaf(later, decode_leaf(later.data), directory)
            if leaf.leaf.kind == "key_record":
                self._key_record(leaf, Touched())
            elif leaf.leaf.kind == "correction" and decided.kind == "decision":
                self._correction(leaf, Touched())
                order = messages_pb2.Correction.FromString(leaf.envelope(0).payload)
                regions = {order.from_region.encode(), order.to_region.encode()}
                named = {decided.get("source"), decided.get("destination") or b""} - {b"", SINK.encode()}
                if decided.get("transfer_id") == order.header.transfer_id and (
                    decided.get("source") == order.header.source.encode() and named <= regions
                ):
                    return None
        except (TlogError, DomainError):
            return directory  # a leaf that does not hold settles nothing, and is judged in its turn
        return leaf.directory

    @staticmethod
    def apply(opened: Sequence[OpenedLeaf], known: Known) -> None:
        """Apply leaves in order to what is known.

        Raises:
            TlogError: `WITNESS_LEAF_REFUSED`: a second decision, blocks elsewhere, a claim without receipt, …
        """
        for one in opened:
            with _Refusals(one.seen):
                one.apply(known)

    # -- kinds -----------------------------------------------------------------------------------------------

    def _decision(self, leaf: _Leaf, touched: Touched) -> Callable[[Known], None]:
        lock_opened = self._open(leaf, 0, _PROMISED)
        decision_opened = self._open(leaf, -1, self._of_bridge(lock_opened.header.sender))
        lock, decision = lock_facts(lock_opened), decision_facts(decision_opened)
        outcome = decision.outcome
        _hold(decision.key == lock.key, "the decision is about another transfer than the lock")
        _hold(decision.lock_hash == lock.message_hash, "the decision names another lock (R9)")
        leaf.require_index(decision.log_index)
        _hold(leaf.text("source") == lock.key.source, "another source than the lock's")
        _hold(leaf.leaf.get("transfer_id") == lock.key.transfer_id, "another transfer than the lock's")
        _hold(leaf.text("outcome") == outcome.name, "another outcome than the decision's")
        _hold(leaf.text("destination") == lock.destination, "another destination than the lock's")
        _hold(leaf.text("kind") == lock.kind.name, "another kind than the lock's")
        leaf.require_blocks(lock.blocks)
        if outcome is Outcome.COMMIT:
            _hold(not lock_opened.key_revoked, "a COMMIT on a lock under a revoked key")
            self._require_ready(leaf, lock, decision.ready_hash)
            touched.blocks.extend(lock.blocks)
        touched.transfers.add(lock.key)

        def apply(known: Known) -> None:
            _hold(lock.key not in known.decided, "a second decision for one transfer (I4)")
            known.decided.add(lock.key)
            known.fresh_decided.append((lock.key, leaf.seen.log_index))
            if outcome is Outcome.COMMIT:
                source = lock.key.source
                used = (source, _USED_PLACES.get(lock.kind, HELD))
                target = used if lock.destination == SINK else (lock.destination, HELD)
                failing = known.book.move(lock.blocks, (source, HELD), target)
                _hold(not failing, f"blocks that were not at {source}: {_shown(failing)}")

        return apply

    def _require_ready(self, leaf: _Leaf, lock: LockFacts, ready_hash: bytes) -> None:
        """R9: a COMMIT rests on a Ready of the destination; the zero hash stands for a Use alone."""
        if lock.kind is not Kind.TRANSFER:
            _hold(ready_hash == ZERO_HASH, "a Use that names a Ready")
            return
        opened = self._open(leaf, 1, _ANSWERED)
        _hold(isinstance(opened.message, messages_pb2.Ready), "a COMMIT that does not rest on a Ready")
        ready = ready_facts(opened)
        _hold(not opened.key_revoked, "a COMMIT on a Ready under a revoked key")
        _hold(ready.message_hash == ready_hash, "the decision names another Ready (R9)")
        _hold(ready.key == lock.key, "the Ready is about another transfer")
        _hold(ready.lock_hash == lock.message_hash, "the Ready answers another lock")
        _hold(ready.sender == lock.destination, "the Ready is not the destination's")

    def _issue(self, leaf: _Leaf, touched: Touched) -> Callable[[Known], None]:
        issue_opened = self._open(leaf, 0, _ISSUED)
        issue = issue_facts(issue_opened)
        receipt = receipt_facts(self._open(leaf, 1, self._of_bridge(issue.region)))
        _hold(receipt.issue_hash == issue.message_hash, "the receipt answers another Issue")
        leaf.require_index(receipt.log_index)
        _hold(leaf.text("accepted") == ("1" if receipt.accepted else "0"), "not what the receipt says")
        _hold(leaf.text("block") == str(issue.block), "another block than the Issue's")
        _hold(leaf.text("region") == issue.region, "another region than the Issue's")
        key = TransferKey(issue.region, issue.issue_id)
        message = issue_opened.message
        touched.issues.add(key)
        if receipt.accepted:
            _hold(
                issue.block.series_id.startswith(f"{issue.region.removeprefix('region/')}:"),
                "a series of another region",
            )
            touched.blocks.append(issue.block)
            touched.receipts.add(message.claim_receipt_hash)

        def apply(known: Known) -> None:
            _hold(key not in known.issued, "a second answer to one Issue")
            known.issued.add(key)
            known.fresh_issued.append((key, leaf.seen.log_index))
            if receipt.accepted:
                claim_id = known.claimed.get(message.claim_receipt_hash)
                _hold(claim_id == message.claim_id, "units without the receipt of their claim")
                failing = known.book.register([issue.block], (issue.region, HELD))
                _hold(not failing, f"serials that were issued before: {_shown(failing)}")

        return apply

    def _claim(self, leaf: _Leaf, touched: Touched) -> Callable[[Known], None]:
        region = leaf.text("region")
        opened = self._open(leaf, -1, self._of_bridge(region))
        receipt = opened.message
        _hold(isinstance(receipt, claims_pb2.ClaimReceipt), "not the receipt of a claim")
        _hold(receipt.claim_id == leaf.text("claim_id"), "another claim than the receipt's")
        leaf.require_index(receipt.log_index)
        _hold(receipt.claim_digest == leaf.leaf.get("claim_digest"), "another claim than the receipt's")
        status = claims_pb2.ClaimStatus.Name(receipt.status)
        _hold(status == leaf.text("status"), "another status than the receipt's")
        touched.receipts.add(opened.message_hash)

        def apply(known: Known) -> None:
            _hold(opened.message_hash not in known.claimed, "a receipt that the log has already")
            if receipt.status != claims_pb2.CLAIM_STATUS_REJECTED:
                known.claimed[opened.message_hash] = receipt.claim_id
                known.fresh_claimed.append((opened.message_hash, receipt.claim_id, leaf.seen.log_index))

        return apply

    def _key_record(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        envelope = leaf.envelope(0)
        record = open_key_record(self._verifier, envelope, leaf.directory, at_index=leaf.seen.log_index)
        leaf.directory = leaf.directory.with_records([record])
        return _changes_nothing

    def _trust_anchor(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        anchor = self._anchors.get(leaf.leaf.get("key_id") or b"")
        _hold(anchor is not None, "a root that this witness was not told of")
        if anchor is not None:
            _hold(leaf.text("owner") == anchor.owner, "the root of another authority")
            leaf.directory = leaf.directory.with_entries([anchor.entry])
        return _changes_nothing

    def _recognition(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        opened = self._open(leaf, 0, _AGREED)
        owners = {signer.owner for signer in opened.signed_by}
        wanted = {authority_of(opened.message.from_region), authority_of(opened.message.to_region)}
        _hold(owners == wanted, "an agreement without the roots of both regions")
        return _changes_nothing

    def _order(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        """Check a freeze or its lifting; the bridge alone may freeze, on evidence that it names (row 10)."""
        if (leaf.leaf.get("ordered_by") or BRIDGE.encode()) != BRIDGE.encode():
            open_freeze(leaf.envelope(0), self._network_id, leaf.directory, at_index=leaf.seen.log_index)
        else:
            _hold(leaf.leaf.kind == "freeze", "only two approvers unfreeze")
        return _changes_nothing

    def _decided(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        """Check a resolution or an alias: approvers of two bodies have signed (CLAIMS section 3)."""
        opened = self._open(leaf, 0, _DECIDED_BY_TWO)
        bodies = {signer.owner for signer in opened.signed_by}
        _hold(len(bodies) >= BODIES_WANTED, "a decision without approvers of two bodies")
        wanted = cases_pb2.CaseResolution if leaf.leaf.kind == "case_resolution" else cases_pb2.AliasDecision
        _hold(isinstance(opened.message, wanted), "another message than the leaf's kind")
        return _changes_nothing

    def _reconciliation(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        statement = self._open(leaf, 0, _STATED)
        region = leaf.text("region")
        _hold(statement.header.sender == region, "the statement of another region")
        self._open(leaf, 1, self._of_bridge(region))
        return _changes_nothing

    def _epoch(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        """A new epoch of the bridge is signed by its root and continues where this log stands (section 6)."""
        record = self._open(leaf, 0, _BEGUN).message
        _hold(record.continues_from_index == leaf.seen.log_index, "an epoch that continues from elsewhere")
        return _changes_nothing

    def _correction(self, leaf: _Leaf, touched: Touched) -> Callable[[Known], None]:
        message = open_correction(
            leaf.envelope(0), self._network_id, leaf.directory, at_index=leaf.seen.log_index
        ).message
        for name in ("from_region", "to_region"):
            _hold(leaf.text(name) == getattr(message, name), f"another {name} than the correction's")
        blocks = blocks_of(message.blocks)
        leaf.require_blocks(blocks)
        touched.blocks.extend(blocks)

        def apply(known: Known) -> None:
            place, target = (message.from_region, HELD), (message.to_region, HELD)
            moving = known.book.elsewhere(blocks, target)  # what is at its place already stays there
            failing = known.book.move(moving, place, target) if moving else ()
            _hold(not failing, f"blocks that were not at {message.from_region}: {_shown(failing)}")

        return apply

    def _location_root(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        """A location root is that of the map before its own index, as it was replayed here."""
        _hold(leaf.text("as_of_index") == str(leaf.seen.log_index), "the root of another index")
        size, root = leaf.text("size"), leaf.leaf.get("root") or b""

        def apply(known: Known) -> None:
            _hold(size.isdecimal() and known.is_map_root(int(size), root), "another location map")

        return apply

    def _witness_group(self, leaf: _Leaf, _touched: Touched) -> Callable[[Known], None]:
        """Another group of witnesses takes the place of the one that counts, as all authorities wish."""
        index = leaf.seen.log_index
        change, replaces = open_change(leaf.envelope(0), leaf.leaf, index, self._network_id, leaf.directory)

        def apply(known: Known) -> None:
            newest = known.changes[-1].log_index if known.changes else 0
            _hold(replaces == newest, "it replaces a group that counts no more")
            # Nobody is there who could hand over.
            _hold(change.by_roots or self._has_first_group or newest > 0, "a first group without every root")
            known.changes.append(change)
            known.fresh_changes.append(change)

        return apply

    # -- parts -----------------------------------------------------------------------------------------------

    def _open(self, leaf: _Leaf, position: int, allowed: Mapping[str, AllowedMessage]) -> Opened:
        envelope = leaf.envelope(position)
        index, hashed = leaf.seen.log_index, leaf.hashes[position]
        return self._verifier.open_envelope(
            envelope, leaf.directory, allowed=allowed, peer=None, at_index=index, hashed=hashed
        )

    def _of_bridge(self, audience: str) -> dict[str, AllowedMessage]:
        """Give what the bridge may have said to a region."""
        known = self._own.get(audience)
        if known is None:
            known = allow(
                messages_pb2.Decision,
                messages_pb2.IssueReceipt,
                claims_pb2.ClaimReceipt,
                reconcile_pb2.ReconcileResult,
                senders=(BRIDGE,),
                audience=audience,
            )
            self._own[audience] = known
        return known


@dataclass(slots=True)
class _Leaf:
    """A leaf under examination; `directory` is what the log has stated before it, and with it."""

    seen: SeenLeaf
    leaf: Leaf
    directory: KeyDirectory
    hashes: tuple[bytes, ...] = ()
    _beside: Mapping[bytes, envelope_pb2.Envelope] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Give a public field as text; a leaf without it is refused."""
        value = self.leaf.get(name)
        if value is None:
            raise TlogError("WITNESS_LEAF_REFUSED", f"the leaf has no {name}")
        return value.decode("utf-8", "replace")

    def require_index(self, named: int) -> None:
        """Demand that a message names this leaf; one that a restored bridge adopted names its old index."""
        adopted = self.leaf.get("adopted_index")
        expected = str(self.seen.log_index).encode() if adopted is None else adopted
        _hold(str(named).encode() == expected, "the message names another index of the log")

    def require_blocks(self, blocks: Sequence[UnitBlock]) -> None:
        """Demand that the leaf names the blocks of its message, as many as a leaf has room for."""
        named = self.text("blocks").split("\n")
        wanted = [str(block) for block in blocks[:BLOCKS_IN_LEAF_MAX]]
        _hold(named == wanted, "other blocks than the message's")

    def envelope(self, position: int) -> envelope_pb2.Envelope:
        """Give the message whose hash the leaf names at a position, from beside the leaf."""
        if not self.hashes:
            self.hashes = self.leaf.message_hashes
            self._beside = {
                message_hash(envelope.payload_type, envelope.payload): envelope
                for envelope in reversed(self.seen.envelopes)
            }
        inside = -len(self.hashes) <= position < len(self.hashes)
        _hold(inside, "the leaf does not name the message that it rests on")
        envelope = self._beside.get(self.hashes[position])
        if envelope is None:
            raise TlogError("WITNESS_LEAF_REFUSED", "a message that the leaf names is not beside it")
        return envelope


class _Refusals:
    """Gives every refusal inside as that of its leaf."""

    def __init__(self, seen: SeenLeaf) -> None:
        self._seen = seen

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (DomainError, TlogError)):
            detail = error.detail if isinstance(error, TlogError) else str(error)
            raise LeafRefusedError(self._seen, detail) from error


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise TlogError("WITNESS_LEAF_REFUSED", otherwise)


def _changes_nothing(_known: Known) -> None:
    """Records change keys alone, which is done when they are opened."""


def _shown(blocks: Sequence[UnitBlock]) -> str:
    return ", ".join(str(block) for block in blocks[:3])


def empty_known(directory: KeyDirectory, rows: Iterable[LocationRow[Place]] = ()) -> Known:
    """Give what is known of locations alone."""
    return Known(directory, LocationBook(rows))
