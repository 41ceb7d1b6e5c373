"""What only a whole log shows: the one decision of a transfer, where units are, and that a series is whole.

The entries are hashed first, all of them, and must give the root of the cosigned checkpoint; only then are
they taken apart. A replay walks over every leaf in order and applies what issues, decisions and corrections
did to the series in question, with a check at each step that the units were where they were taken from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.offline.container import ProofFile, read_entries
from tanqiao.offline.key_chain import parse_envelope, refused_as
from tanqiao.offline.location_map import (
    BUCKETS,
    CANCELLED,
    HELD,
    LOCATION_ROOT_KIND,
    STATES,
    USED,
    MapBucket,
    MapPage,
    MapRow,
    bucket_of,
    page_key,
)
from tanqiao.offline.paths import included_leaf, open_path, report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.protocol.locations import LocationBook
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES
from tanqiao.signing.strict import parse_strict
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.encoding import decode_decimal
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao.tlog.merkle import CompactRange, hash_leaf, verify_inclusion
from tanqiao.tlog.policy import Policy

__all__ = ["Replay", "audit_entries", "verify_location_root", "verify_replay"]

BLOCKS_IN_LEAF_MAX: Final = 300
"""As many blocks a decision leaf names; one that names so many needs its lock beside it."""
_LEAF_START: Final = b"TQL\x01"
_KIND_AT: Final = 5
_CLAIM: Final = re.compile(
    r"(?:source (?P<source>[a-z0-9/._-]{1,128})\ntransfer_id (?P<transfer_id>[0-9a-f]{32})\n)"
    r"|(?:series (?P<series>[!-Z^-~]{1,160})\n(?:serial (?P<serial>0|[1-9][0-9]{0,18})\n)?)"
)
_USED_STATE: Final = {b"RETIRE": USED, b"CANCEL": CANCELLED}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a file says that the log shows; one of transfer, series, or serial of a series."""

    source: str = ""
    transfer_id: bytes = b""
    series_id: str = ""
    serial: int | None = None

    def encode(self) -> bytes:
        """Write the claim as lines."""
        if self.source:
            return f"source {self.source}\ntransfer_id {self.transfer_id.hex()}\n".encode()
        serial = "" if self.serial is None else f"serial {self.serial}\n"
        return f"series {self.series_id}\n{serial}".encode()

    @staticmethod
    def parse(kind: str, data: bytes) -> Claim:
        """Read the claim of a file of this kind; `CLAIM_FORM` for any other bytes."""
        found = _CLAIM.fullmatch(data.decode("ascii", "replace"))
        if found is None:
            raise TlogError("CLAIM_FORM")
        serial = None if found["serial"] is None else decode_decimal(found["serial"])
        shape = (found["source"] is not None, found["series"] is not None, serial is not None)
        wanted = {"decision": (True, False, False), "conservation": (False, True, False)}
        if shape != wanted.get(kind, (False, True, True)):
            raise TlogError("CLAIM_FORM", kind)
        return Claim(
            found["source"] or "", bytes.fromhex(found["transfer_id"] or ""), found["series"] or "", serial
        )


Place = tuple[str, int]


@dataclass(slots=True)
class Replay:
    """Walks over a log and keeps what concerns one transfer or one series.

    Args:
        claim: what is looked for.
        locks: blocks of locks that leaves do not name in full, by message hash.
    """

    claim: Claim
    locks: dict[bytes, tuple[UnitBlock, ...]] = field(default_factory=dict)
    decisions: list[tuple[int, Leaf]] = field(default_factory=list)
    book: LocationBook[Place] = field(default_factory=LocationBook)
    issued_kg: int = 0
    moves: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def take(self, index: int, entry: bytes) -> None:
        """Take one leaf; leaves that do not concern the claim are counted by kind.

        Raises:
            TlogError: `UNITS_TWICE`, `UNITS_NOT_THERE`, `BLOCKS_CUT`, `LEAF_UNKNOWN_MOVES`, leaf reasons.
        """
        if self._is_foreign(entry):
            self.kinds[entry[_KIND_AT : _KIND_AT + entry[_KIND_AT - 1]].decode("ascii", "replace")] += 1
            return
        leaf = decode_leaf(entry)
        self.kinds[leaf.kind] += 1
        if leaf.kind == "decision":
            self._take_decision(index, leaf)
        elif not self.claim.series_id:
            return
        elif leaf.kind == "issue":
            self._take_issue(index, leaf)
        elif leaf.kind == "correction":
            place = (leaf.value("to_region").decode("ascii", "replace"), HELD)
            # What is at its place already stays there: a correction says where units are.
            concerned = [one for one in self._blocks(leaf) if one.series_id == self.claim.series_id]
            moving = self.book.elsewhere(concerned, place)
            self._move(index, moving, leaf.value("from_region"), place)
        elif leaf.get("blocks") is not None and leaf.kind not in _MOVES_NOTHING:
            raise TlogError("LEAF_UNKNOWN_MOVES", f"{leaf.kind} at {index}")

    @property
    def rows(self) -> list[MapRow]:
        """Where the units of the series are, in order of serial."""
        return [MapRow(row.series_id, row.start, row.end, *row.place) for row in self.book.rows()]

    def _is_foreign(self, entry: bytes) -> bool:
        """Whether a leaf names neither the transfer nor the series, nor so many blocks that it was cut."""
        needle = self.claim.transfer_id or self.claim.series_id.encode()
        return (
            entry.startswith(_LEAF_START)
            and needle not in entry
            and entry.count(b"\n") + 1 < BLOCKS_IN_LEAF_MAX
        )

    def _take_decision(self, index: int, leaf: Leaf) -> None:
        claim = self.claim
        if claim.source:
            if leaf.get("transfer_id") == claim.transfer_id and leaf.get("source") == claim.source.encode():
                self.decisions.append((index, leaf))
            return
        if leaf.value("outcome") != b"COMMIT":
            return
        state = _USED_STATE.get(leaf.value("kind"))
        source = leaf.value("source")
        place = (leaf.value("destination"), HELD) if state is None else (source, state)
        self._move(index, self._blocks(leaf), source, (place[0].decode("ascii", "replace"), place[1]))

    def _take_issue(self, index: int, leaf: Leaf) -> None:
        if leaf.value("accepted") != b"1":
            return
        block = _parse_block(leaf.value("block").decode("ascii", "replace"))
        if block.series_id != self.claim.series_id:
            return
        region = leaf.value("region").decode("ascii", "replace")
        if self.book.register([block], (region, HELD)):
            raise TlogError("UNITS_TWICE", f"{block} at {index}")
        self.issued_kg += block.quantity_kg

    def _blocks(self, leaf: Leaf) -> Sequence[UnitBlock]:
        lines = leaf.value("blocks").decode("ascii", "replace").split("\n")
        if len(lines) < BLOCKS_IN_LEAF_MAX:
            return [_parse_block(line) for line in lines]
        blocks = self.locks.get(leaf.message_hashes[0])
        if blocks is None:
            raise TlogError("BLOCKS_CUT", leaf.message_hashes[0].hex())
        return blocks

    def _move(self, index: int, blocks: Iterable[UnitBlock], source: bytes, target: Place) -> None:
        concerned = [block for block in blocks if block.series_id == self.claim.series_id]
        if not concerned:
            return
        place = (source.decode("ascii", "replace"), HELD)
        failing = self.book.move(concerned, place, target)
        if failing:
            raise TlogError("UNITS_NOT_THERE", f"{failing[0]} at {index} is not at {place[0]}")
        self.moves += len(concerned)


_MOVES_NOTHING: Final = frozenset({"freeze", "unfreeze", "reconciliation"})


def audit_entries(stream: BinaryIO, size_bytes: int, tree: Checkpoint) -> None:
    """Hash every entry; the root must be that of the checkpoint.

    Raises:
        TlogError: `ENTRIES_WRONG`, `BUNDLE_FORM`.
    """
    compact = CompactRange()
    compact.extend(hash_leaf(entry) for entry in read_entries(stream, size_bytes))
    if (compact.size, compact.root()) != (tree.size, tree.root):
        raise TlogError("ENTRIES_WRONG", f"{compact.size} entries where {tree.size} belong")


def verify_replay(report: Report, file: ProofFile, stream: BinaryIO, policy: Policy) -> None:
    """Verify a file of kind decision, conservation or location: the whole log, then the claim."""
    claim = Claim.parse(file.kind, file.one("claim"))
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    start = stream.tell()
    audit_entries(stream, file.entries_bytes, tree)
    report.held(
        "§8",
        f"All {tree.size} entries of the log are in the file and hash to that root.",
        f"文件载有该日志的全部{tree.size}个条目，其哈希得出该树根。",
    )
    stream.seek(start)
    replay = Replay(claim, dict(map(_lock_blocks, file.all("lock"))))
    for index, entry in enumerate(read_entries(stream, file.entries_bytes)):
        replay.take(index, entry)
    report.facts["leaves"] = dict(sorted(replay.kinds.items()))
    report.held(
        "§8",
        f"Every leaf was replayed in order: {_kinds_shown(replay.kinds)}.",
        f"已按顺序重放全部叶子：{_kinds_shown(replay.kinds)}。",
    )
    if file.kind == "decision":
        _conclude_decision(report, replay)
    else:
        _conclude_series(report, file.kind, replay, tree)


def verify_location_root(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind location-root: a leaf names a map, and a row of it holds the serial."""
    claim = Claim.parse(file.kind, file.one("claim"))
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    included = included_leaf(file.one("leaf"), file.one("path"), tree)
    leaf = included.leaf
    if leaf.kind != LOCATION_ROOT_KIND:
        raise TlogError("LEAF_KIND", leaf.kind)
    numbers = [
        decode_decimal(leaf.value(name).decode("ascii", "replace")) for name in ("size", "as_of_index")
    ]
    size, as_of = numbers
    if size is None or as_of is None or as_of > included.index:
        raise TlogError("LOCATION_ROW", "the leaf's numbers")
    report.held(
        "§8",
        f"Leaf {included.index} states the root of the location map before index {as_of}: {size} pages.",
        f"第{included.index}号叶子载明序号{as_of}之前的位置图之根：共{size}页。",
    )
    bucket, page = MapBucket.decode(file.one("bucket")), MapPage.decode(file.one("page"))
    row = MapRow.decode(file.one("row"))
    number = _place_in(file, "bucket", BUCKETS, leaf.value("root"))
    _place_in(file, "page", bucket.size, bucket.root)
    _place_in(file, "row", page.size, page.root)
    if page_key(row.series_id, row.start) != page.key or bucket_of(page.key) != number:
        raise TlogError("LOCATION_ROW", "a row or page that does not belong where it stands")
    report.held(
        "§8",
        f"The row {row.start} to {row.end} of that map is in the file.",
        f"文件载有该图中{row.start}至{row.end}的一行。",
    )
    serial = claim.serial or 0
    if row.series_id != claim.series_id or not row.start <= serial < row.end:
        raise TlogError("LOCATION_ROW", "the row does not hold the serial")
    report.leave_open(
        "That the map is that of the log's decisions: the witnesses, who replay them, stand for that; a file "
        "of kind location shows it.",
        "该位置图与日志中的决定一致：由重放决定的见证方保证；location类文件可予证明。",
    )
    _conclude_row(report, row, serial, as_of)


def _place_in(file: ProofFile, name: str, size: int, root: bytes) -> int:
    """Verify that a part is in a tree; its index there."""
    index, hashes = open_path(file.one(f"{name}-path"))
    verify_inclusion(index, size, hash_leaf(file.one(name)), hashes, root)
    return index


def _conclude_decision(report: Report, replay: Replay) -> None:
    claim = replay.claim
    if not replay.decisions:
        raise TlogError("DECISION_MISSING", claim.transfer_id.hex())
    if len(replay.decisions) > 1:
        raise TlogError("DECISION_TWICE", " and ".join(str(index) for index, _ in replay.decisions))
    index, leaf = replay.decisions[0]
    outcome = leaf.value("outcome").decode("ascii", "replace")
    report.held(
        "§7 I4",
        "Exactly one of them decides this transfer.",
        "其中有且仅有一个叶子对该转移作出决定。",
    )
    report.conclude(
        f"Transfer {claim.transfer_id.hex()} of {claim.source} was decided once: {outcome}, at index "
        f"{index}.",
        f"{claim.source}的转移{claim.transfer_id.hex()}只被决定过一次：{outcome}，序号{index}。",
        source=claim.source,
        transfer_id=claim.transfer_id.hex(),
        outcome=outcome,
        log_index=index,
    )


def _conclude_series(report: Report, kind: str, replay: Replay, tree: Checkpoint) -> None:
    claim = replay.claim
    rows = replay.rows
    if not rows:
        raise TlogError("SERIES_UNKNOWN", claim.series_id)
    report.held(
        "§7 I2",
        f"No unit of {claim.series_id} was issued twice, and each of {replay.moves} moves took units from "
        "where they were.",
        f"{claim.series_id}没有任何单位被重复签发，{replay.moves}次移动均从单位所在之处取走。",
    )
    if kind == "location":
        serial = claim.serial or 0
        row = next((row for row in rows if row.start <= serial < row.end), None)
        if row is None:
            raise TlogError("SERIES_UNKNOWN", f"{claim.series_id} {serial}")
        _conclude_row(report, row, serial, tree.size)
        return
    totals: Counter[str] = Counter()
    for row in rows:
        name = "held" if row.state == HELD else "used" if row.state == USED else "cancelled"
        totals[f"{name} {row.region}"] += row.end - row.start
    if sum(totals.values()) != replay.issued_kg:
        raise TlogError("UNITS_NOT_THERE", "the totals")
    shown = ", ".join(f"{name} {kg}" for name, kg in sorted(totals.items()))
    report.held(
        "§7 I1",
        f"Issued {replay.issued_kg} kg = {shown}.",
        f"签发{replay.issued_kg}千克＝{shown}。",
    )
    report.leave_open(
        "What is in flight: a lock without a decision is not in the log.",
        "在途单位：尚无决定的锁定不在日志中。",
    )
    report.conclude(
        f"Series {claim.series_id} is whole at index {tree.size}: {replay.issued_kg} kg issued, {shown}.",
        f"系列{claim.series_id}在序号{tree.size}处完整：签发{replay.issued_kg}千克，{shown}。",
        series=claim.series_id,
        issued_kg=replay.issued_kg,
        totals_kg=dict(sorted(totals.items())),
    )


def _conclude_row(report: Report, row: MapRow, serial: int, as_of: int) -> None:
    english, chinese = STATES[row.state]
    report.conclude(
        f"Unit {serial} of {row.series_id} is {english} {row.region} before index {as_of}.",
        f"{row.series_id}的第{serial}号单位在序号{as_of}之前{chinese}{row.region}。",
        series=row.series_id,
        serial=serial,
        region=row.region,
        state=english.split()[0],
        as_of_index=as_of,
    )


def _kinds_shown(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))


def _parse_block(text: str) -> UnitBlock:
    try:
        return UnitBlock.parse(text)
    except DomainError as refusal:
        raise refused_as(refusal) from None


def _lock_blocks(data: bytes) -> tuple[bytes, tuple[UnitBlock, ...]]:
    """Read a lock that a leaf names by its hash: the hash alone vouches for it here."""
    envelope = parse_envelope(data)
    message_class = PAYLOAD_TYPES.get(envelope.payload_type)
    if message_class not in (messages_pb2.LockAssertion, messages_pb2.Use, messages_pb2.Correction):
        raise TlogError("MESSAGE_NOT_NAMED", envelope.payload_type[:80])
    try:
        message = parse_strict(message_class, envelope.payload)
        blocks = tuple(block_of(block) for block in message.blocks)  # type: ignore[attr-defined]
        return message_hash(envelope.payload_type, envelope.payload), blocks
    except DomainError as refusal:
        raise refused_as(refusal) from None
