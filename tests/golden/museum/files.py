"""Proof files of the federation: one good one for each kind, and what was tried with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.offline.container import encode_file
from tanqiao.offline.location_map import MapRow
from tanqiao.offline.paths import encode_path, path_of
from tanqiao.offline.replay import Claim
from tanqiao.signing.directory import KeyRole
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tests.golden.museum import federation as f
from tests.golden.museum import handovers
from tests.golden.museum.certificates import bad_certificates, certificate_parts
from tests.golden.museum.exhibits import ORIGIN, STRANGER, WITNESSES, BadFile, cosignature, signed
from tests.golden.museum.filings import bad_filings, filing, filing_parts
from tests.golden.museum.maps import bad_pages, parts_above

Parts = list[tuple[str, bytes]]
Case = Callable[..., BadFile]
LOG = f.LOG_OF_FEDERATION


def raw(one: envelope_pb2.Envelope) -> tuple[str, bytes]:
    return "envelope", one.SerializeToString()


def title_parts(log: f.SmallLog = LOG) -> Parts:
    return [
        ("checkpoint", log.checkpoint),
        *log.leaf(f.TRANSFER_AT),
        raw(f.LOCK),
        raw(f.READY),
        raw(f.DECISION),
        ("opening-address", f.ADDRESS + f.ADDRESS_SALT),
        ("opening-owner", f.OWNER + f.OWNER_SALT),
        *log.keys(f.SHANGHAI, f.SHENZHEN, f.BRIDGE),
    ]


def retirement_parts(log: f.SmallLog = LOG) -> Parts:
    return [
        ("checkpoint", log.checkpoint),
        *log.leaf(f.USED_AT),
        raw(f.USE_MESSAGE),
        raw(f.USE_DECISION),
        ("opening-owner", f.OWNER + f.OWNER_SALT),
        ("opening-beneficiary", f.BENEFICIARY + f.BENEFICIARY_SALT),
        *log.keys(f.SHANGHAI, f.BRIDGE),
    ]


def rules_parts(rules: Sequence[tuple[bytes, bytes]] = f.RULES) -> Parts:
    texts = [part for name, text in rules for part in (("rules-name", name), ("rules-text", text))]
    return [
        ("checkpoint", LOG.checkpoint),
        *LOG.leaf(f.USED_AT),
        raw(f.USE_MESSAGE),
        raw(f.USE_DECISION),
        *texts,
        *LOG.keys(f.SHANGHAI, f.BRIDGE),
    ]


def replay_file(kind: str, claim: Claim, log: f.SmallLog = LOG, entries: bytes | None = None) -> bytes:
    data = log.entries if entries is None else entries
    parts = [("claim", claim.encode()), ("checkpoint", log.checkpoint)]
    return encode_file(kind, parts, len(data)) + data


def row_parts(row: MapRow = f.MAP_ROWS[2], index: int = 2) -> Parts:
    path = path_of(index, len(f.MAP_ROWS), f.MAP_TREE)
    claim = Claim(series_id=f.SERIES, serial=1500).encode()
    return [
        ("claim", claim),
        ("checkpoint", LOG.checkpoint),
        *LOG.leaf(f.MAP_AT),
        ("row", row.encode()),
        ("row-path", path),
        *parts_above(f.map_page(), f.MAP),
    ]


def contradiction(
    first: envelope_pb2.Envelope, second: envelope_pb2.Envelope, *owners: str, log: f.SmallLog = LOG
) -> bytes:
    parts = [("checkpoint", log.checkpoint), raw(first), raw(second), *log.keys(*owners)]
    return encode_file("contradiction", parts)


OTHER_LOCK = f.lock(purpose="compliance")
SECOND_DECISION = f.decision(f.LOCK, None, f.TRANSFER, f.TRANSFER_AT, messages_pb2.OUTCOME_ABORT)
MADE_UP = envelope_pb2.Envelope(payload_type=f.LOCK.payload_type, payload=b"nobody signed this")
FORGED = f.decision(MADE_UP, MADE_UP, b"\x09" * 16, 99)


def denial(
    of: envelope_pb2.Envelope,
    reason: str = "DECISION_VOID",
    owner: str = f.SHANGHAI,
    transfer_id: bytes = b"\x09" * 16,
) -> envelope_pb2.Envelope:
    by = f.KEYS[owner].signer
    message = messages_pb2.Nack(
        header=f.header(by, f.BRIDGE, transfer_id),
        message_hash=f.hash_of(of),
        reasons=[values_pb2.Refusal(reason=reason)],
    )
    return f.envelope(by, message)


def cosigned(size: int, root: bytes, time_seconds: int, witness: int = 0) -> bytes:
    note = signed(Checkpoint(ORIGIN, size, root).encode())
    return note.with_signatures([cosignature(note.text, WITNESSES[witness], time_seconds)]).encode()


def witness_file(first: bytes, second: bytes) -> bytes:
    return encode_file("witness-misbehaviour", [("first", first), ("second", second)])


SMALL_ROOT, LARGE_ROOT = LOG.tree.root(5), LOG.tree.root()
SIZE = len(LOG.leaves)


def good_proof_files() -> dict[str, bytes]:
    """One for each kind, and each way to lie."""
    late, early = cosigned(5, SMALL_ROOT, 2_000), cosigned(SIZE, LARGE_ROOT, 1_000)
    files = {
        "title": encode_file("title", title_parts()),
        "title-without-openings": encode_file(
            "title", [part for part in title_parts() if not part[0].startswith("opening")]
        ),
        "retirement": encode_file("retirement", retirement_parts()),
        "certificate": encode_file("certificate", certificate_parts()),
        "certificate-that-names-nobody": encode_file("certificate", certificate_parts(named=False)),
        "filing-proof": encode_file("filing-proof", filing_parts()),
        "filing-proof-not-linked": encode_file(
            "filing-proof", filing_parts(filing(changed={"link": None, "state": "ENTERED"}))
        ),
        "handover": encode_file(handovers.KIND, handovers.parts()),
        "handover-after-a-next-root": encode_file(
            handovers.KIND, handovers.by_later_approvers(handovers.NEXT_ROOT, *handovers.LATER_APPROVERS)
        ),
        "handover-by-roots": encode_file(handovers.KIND, handovers.by_roots()),
        "rules": encode_file("rules", rules_parts()),
        "only-decision": replay_file("decision", Claim(f.SHANGHAI, f.TRANSFER)),
        "only-decision-abort": replay_file("decision", Claim(f.SHANGHAI, f.REFUSED)),
        "conservation": replay_file("conservation", Claim(series_id=f.SERIES)),
        "location": replay_file("location", Claim(series_id=f.SERIES, serial=1999)),
        "location-root": encode_file("location-root", row_parts()),
        "two-decisions": contradiction(f.DECISION, SECOND_DECISION, f.BRIDGE),
        "two-locks": contradiction(f.LOCK, OTHER_LOCK, f.SHANGHAI),
        "forged-transfer-denied": contradiction(FORGED, denial(FORGED), f.BRIDGE, f.SHANGHAI),
        "witness-went-back": witness_file(early, late),
        "witness-split-view": witness_file(early, cosigned(SIZE, b"\x07" * 32, 1_500)),
    }
    return {f"file/{name}.tanqiao-proof": data for name, data in files.items()}


def bad_proof_files() -> Iterator[BadFile]:
    """Files that prove nothing, each named for what was tried."""

    def case(name: str, reason: str, attack: str, data: bytes | Parts, kind: str = "title") -> BadFile:
        built = data if isinstance(data, bytes) else encode_file(kind, data)
        return BadFile("file", name, reason, attack, built)

    good = encode_file("title", title_parts())
    yield from _bad_forms(good, case)
    yield from _bad_messages(case)
    yield from _bad_keys(case)
    yield from _bad_replays(case)
    yield from _bad_accusations(case)
    yield from bad_certificates(case)
    yield from bad_filings(case)
    yield from handovers.bad_handovers(case)


def _bad_forms(good: bytes, case: Case) -> Iterator[BadFile]:
    yield case("empty", "FILE_FORM", "no bytes at all", b"")
    yield case("header-of-version-2", "FILE_FORM", "an unknown format", good.replace(b"@v1", b"@v2", 1))
    yield case("kind-unknown", "FILE_KIND", "a kind nobody checks", good.replace(b"title", b"deed!", 1))
    yield case(
        "kind-of-another",
        "FILE_PARTS",
        "a title sold as a retirement",
        good.replace(b"kind title", b"kind retirement", 1),
    )
    yield case("cut-off", "FILE_FORM", "the end is missing", good[:-1])
    yield case("bytes-behind-the-end", "FILE_FORM", "something appended", good + b"\0")
    yield case(
        "size-leading-zero",
        "FILE_FORM",
        "a second spelling",
        good.replace(b"\ncheckpoint ", b"\ncheckpoint 0", 1),
    )
    yield case(
        "size-huge",
        "FILE_TOO_LARGE",
        "a size that would fill the memory",
        good.replace(b"\nleaf ", b"\nleaf 99999999", 1),
    )
    yield case("no-parts", "FILE_PARTS", "a head alone", b"tanqiao-proof@v1\nkind title\n\n")
    yield case("no-blank-line", "FILE_FORM", "a head without end", b"tanqiao-proof@v1\nkind title\nleaf 3\n")
    yield case(
        "carriage-returns",
        "FILE_KIND",
        "other line ends",
        good.replace(b"kind title\n", b"kind title\r\n", 1),
    )
    parts = title_parts()
    text = good.partition(b"\n\n")[0].split(b"\n")
    swapped = b"\n".join([*text[:2], text[3], text[2], *text[4:]]) + b"\n\n"
    body = parts[1][1] + parts[0][1] + b"".join(data for _, data in parts[2:])
    yield case("parts-swapped", "FILE_PARTS", "another order", swapped + body)


def _bad_messages(case: Case) -> Iterator[BadFile]:
    def title(**replaced: object) -> Parts:
        parts = title_parts()
        for name, value in replaced.items():
            at = int(name.removeprefix("at"))
            parts[at] = value if isinstance(value, tuple) else (parts[at][0], value)
        return parts

    tampered = envelope_pb2.Envelope()
    tampered.CopyFrom(f.LOCK)
    tampered.payload = f.LOCK.payload.replace(b"region/440300", b"region/530000")
    resigned = envelope_pb2.Envelope()
    resigned.CopyFrom(f.READY)
    resigned.signatures[0].signature = bytes(64)
    yield case("lock-changed", "MESSAGE_NOT_NAMED", "another destination", title(at3=raw(tampered)))
    yield case(
        "lock-of-another-purpose",
        "MESSAGE_NOT_NAMED",
        "another lock of the same source",
        title(at3=raw(OTHER_LOCK)),
    )
    yield case(
        "promise-without-signature",
        "MESSAGE_REFUSED",
        "a promise that D never signed",
        title(at4=raw(resigned)),
    )
    yield case(
        "decision-of-another",
        "MESSAGE_NOT_NAMED",
        "a decision for another transfer",
        title(at5=raw(f.USE_DECISION)),
    )
    yield case(
        "envelope-not-protobuf", "MESSAGE_REFUSED", "bytes that are no envelope", title(at3=b"\xff\xff")
    )
    unknown = f.LOCK.SerializeToString() + b"\xa2\x06\x01x"
    yield case("envelope-unknown-field", "MESSAGE_REFUSED", "a field that nobody reads", title(at3=unknown))
    yield case(
        "opening-of-another-address",
        "OPENING_WRONG",
        "a buyer who is not the holder",
        title(at6=b"TQ-THIEF-0000" + f.ADDRESS_SALT),
    )
    yield case("opening-without-salt", "OPENING_WRONG", "an opening too short to be one", title(at7=b"short"))
    yield case(
        "path-of-another-leaf",
        "INCLUSION_NOT_PROVEN",
        "the neighbour's place",
        title(at2=LOG.leaf(f.USED_AT)[1][1]),
    )
    yield case("path-not-numbers", "PROOF_INDEX", "a path without index", title(at2=b"index x\n"))
    yield case(
        "leaf-of-an-issue",
        "LEAF_KIND",
        "an issue shown as a decision",
        title(at1=LOG.leaf(f.ISSUED_AT)[0], at2=LOG.leaf(f.ISSUED_AT)[1]),
    )
    aborted = [
        ("checkpoint", LOG.checkpoint),
        *LOG.leaf(f.REFUSED_AT),
        raw(f.REFUSED_LOCK),
        raw(f.ABORT),
        *LOG.keys(f.SHANGHAI, f.BRIDGE),
    ]
    yield case(
        "aborted-transfer-as-retirement", "NOT_COMMITTED", "an ABORT sold as a right", aborted, "retirement"
    )
    yield case(
        "no-quorum",
        "QUORUM_NOT_REACHED",
        "a log without witnesses",
        title(
            at0=signed(Checkpoint(ORIGIN, SIZE, LOG.tree.root()).encode(), WITNESSES[0], STRANGER).encode()
        ),
    )
    thief = [
        (name, b"Thief Ltd" + f.BENEFICIARY_SALT if name == "opening-beneficiary" else data)
        for name, data in retirement_parts()
    ]
    yield case(
        "another-beneficiary", "OPENING_WRONG", "a claim to somebody else's retirement", thief, "retirement"
    )
    yield case(
        "rules-changed",
        "RULES_DIGEST_WRONG",
        "another law",
        rules_parts(((b"pack.toml", b"id = 'other'\n"),)),
        "rules",
    )
    yield case(
        "rules-out-of-order", "RULES_DIGEST_WRONG", "a second spelling", rules_parts(f.RULES[::-1]), "rules"
    )
    for name, told, reason in (
        ("leaf-says-other-blocks", (b"[1000,2000)", b"[1000,2001)"), "DECISION_VOID"),
        ("leaf-says-another-destination", (b"region/440300", b"region/530000"), "DECISION_VOID"),
    ):
        leaves = [leaf.replace(*told) if at == f.TRANSFER_AT else leaf for at, leaf in enumerate(LOG.leaves)]
        yield case(name, reason, "a leaf that says more than was signed", title_parts(f.SmallLog(leaves)))


def _bad_keys(case: Case) -> Iterator[BadFile]:
    without = title_parts()[:8]
    yield case(
        "no-roots",
        "MESSAGE_REFUSED",
        "records that nobody vouches for",
        [*without, *LOG.keys(f.SHANGHAI, f.SHENZHEN, f.BRIDGE)[6:]],
    )
    yield case(
        "key-not-shown",
        "KEY_NOT_SHOWN",
        "the destination's key is left out",
        [*without, *LOG.keys(f.SHANGHAI, f.BRIDGE)],
    )
    self_made = f.key_record(f.STRANGER, root=f.key("authority/310000", KeyRole.ROOT, 7))
    grown = f.SmallLog([*LOG.leaves, f.record_leaf(f.STRANGER, self_made).encode()])
    extra = [*grown.leaf(len(LOG.leaves)), raw(self_made)]
    yield case(
        "record-signed-by-no-root", "MESSAGE_REFUSED", "a root nobody knows", [*title_parts(grown), *extra]
    )
    foreign = f.key_record(f.STRANGER, root=f.ROOTS["authority/440300"])
    crossed = f.SmallLog([*LOG.leaves, f.record_leaf(f.STRANGER, foreign).encode()])
    yield case(
        "record-signed-by-another-authority",
        "MESSAGE_REFUSED",
        "Shenzhen's root vouches for Shanghai",
        [*title_parts(crossed), *crossed.leaf(len(LOG.leaves)), raw(foreign)],
    )
    shown = f.key_record(f.KEYS[f.SHANGHAI], revoked=True)
    revoked = f.SmallLog([*LOG.leaves, f.record_leaf(f.KEYS[f.SHANGHAI], shown).encode()])
    yield case(
        "key-revoked",
        "KEY_REVOKED_SHOWN",
        "a revoked key",
        [*title_parts(revoked), *revoked.leaf(len(LOG.leaves)), raw(shown)],
    )
    yield case(
        "key-leaf-is-an-issue", "KEY_LEAF", "an issue as a root", [*title_parts(), *LOG.leaf(f.ISSUED_AT)]
    )
    yield case(
        "record-of-another-leaf",
        "MESSAGE_NOT_NAMED",
        "a record under another's leaf",
        [*title_parts(), *LOG.leaf(3), raw(f.RECORDS[f.BRIDGE])],
    )
    late_leaves = [*LOG.leaves[:3], *LOG.leaves[4:], LOG.leaves[3]]
    late = f.SmallLog(late_leaves)
    parts = [("checkpoint", late.checkpoint), *late.leaf(f.TRANSFER_AT - 1), *title_parts()[3:8]]
    parts += [
        *late.leaf(0),
        *late.leaf(1),
        *late.leaf(2),
        *late.leaf(3),
        raw(f.RECORDS[f.SHENZHEN]),
        *late.leaf(4),
        raw(f.RECORDS[f.BRIDGE]),
        *late.leaf(SIZE - 1),
        raw(f.RECORDS[f.SHANGHAI]),
    ]
    yield case("key-stated-after-use", "KEY_STATED_LATER", "a key made up afterwards", parts)


def _bad_replays(case: Case) -> Iterator[BadFile]:
    of_transfer, of_series = Claim(f.SHANGHAI, f.TRANSFER), Claim(series_id=f.SERIES)
    yield case(
        "entry-left-out",
        "ENTRIES_WRONG",
        "a second decision hidden",
        replay_file(
            "decision",
            of_transfer,
            LOG,
            b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in LOG.leaves[:-1]),
        ),
    )
    yield case(
        "entry-cut-off",
        "BUNDLE_FORM",
        "half an entry",
        replay_file("decision", of_transfer, LOG, LOG.entries[:-1]),
    )
    yield case(
        "entries-of-another-log",
        "ENTRIES_WRONG",
        "a made-up log",
        replay_file("decision", of_transfer, LOG, f.SmallLog(LOG.leaves[::-1]).entries),
    )
    yield case(
        "never-decided",
        "DECISION_MISSING",
        "a transfer that never was",
        replay_file("decision", Claim(f.SHANGHAI, b"\x77" * 16)),
    )
    again = f.decision_leaf(f.TRANSFER, "TRANSFER", "ABORT", (f.LOCK, SECOND_DECISION)).encode()
    yield case(
        "decided-twice",
        "DECISION_TWICE",
        "a log with two decisions for one transfer",
        replay_file("decision", of_transfer, f.SmallLog([*LOG.leaves, again])),
    )
    yield case(
        "claim-of-another-kind",
        "CLAIM_FORM",
        "a series where a transfer belongs",
        replay_file("decision", of_series),
    )
    yield case(
        "series-never-issued",
        "SERIES_UNKNOWN",
        "units that never were",
        replay_file("conservation", Claim(series_id="310000:SHCCER:p-2:2025:1")),
    )
    twice = f.SmallLog([*LOG.leaves, f.issue_leaf(2999, 3001, b"j" * 16).encode()])
    yield case(
        "issued-twice", "UNITS_TWICE", "a serial issued twice", replay_file("conservation", of_series, twice)
    )
    spent = f.decision_leaf(f.TWICE, "TRANSFER", "COMMIT", (f.lock(f.TWICE), f.READY, f.DECISION)).encode()
    yield case(
        "moved-twice",
        "UNITS_NOT_THERE",
        "units sold twice",
        replay_file("conservation", of_series, f.SmallLog([*LOG.leaves, spent])),
    )
    yield case(
        "serial-never-issued",
        "SERIES_UNKNOWN",
        "a unit beyond the series",
        replay_file("location", Claim(series_id=f.SERIES, serial=3000)),
    )
    yield case(
        "row-of-another-serial",
        "LOCATION_ROW",
        "the neighbouring block",
        [
            (
                n,
                MapRow.encode(f.MAP_ROWS[1])
                if n == "row"
                else path_of(1, 4, f.MAP_TREE)
                if n == "row-path"
                else d,
            )
            for n, d in row_parts()
        ],
        "location-root",
    )
    wrong = MapRow(f.SERIES, 1000, 2000, f.SHANGHAI, 1)
    yield case(
        "row-changed", "INCLUSION_NOT_PROVEN", "the units claimed back", row_parts(wrong), "location-root"
    )
    yield case(
        "row-not-canonical",
        "LOCATION_ROW",
        "a row with a byte more",
        [(n, d + b"\0\0" if n == "row" else d) for n, d in row_parts()],
        "location-root",
    )
    yield from bad_pages(case, row_parts())
    map_of_one = MemoryTree([hash_leaf(wrong.encode())])
    forged = [(n, encode_path(0, ()) if n == "row-path" else d) for n, d in row_parts(wrong)]
    yield case(
        "row-of-a-map-of-one",
        "PROOF_LENGTH",
        f"another map, root {map_of_one.root().hex()[:8]}",
        forged,
        "location-root",
    )


def _bad_accusations(case: Case) -> Iterator[BadFile]:
    nothing = "EVIDENCE_PROVES_NOTHING"
    yield case(
        "one-decision-twice",
        nothing,
        "an honest bridge accused",
        contradiction(f.DECISION, f.DECISION, f.BRIDGE),
    )
    yield case(
        "decisions-of-two-transfers",
        nothing,
        "an honest bridge accused",
        contradiction(f.DECISION, f.USE_DECISION, f.BRIDGE),
    )
    yield case(
        "lock-and-decision",
        nothing,
        "two messages that belong together",
        contradiction(f.LOCK, f.DECISION, f.BRIDGE, f.SHANGHAI),
    )
    yield case(
        "denial-for-another-reason",
        nothing,
        "a complaint that is no denial",
        contradiction(FORGED, denial(FORGED, "BUSY"), f.BRIDGE, f.SHANGHAI),
    )
    yield case(
        "denial-of-another-decision",
        nothing,
        "a denial of something else",
        contradiction(FORGED, denial(f.DECISION), f.BRIDGE, f.SHANGHAI),
    )
    yield case(
        "denial-by-a-stranger",
        nothing,
        "an honest bridge accused by one whose message the decision does not rest on",
        contradiction(
            f.DECISION,
            denial(f.DECISION, owner=f.SHENZHEN, transfer_id=f.TRANSFER),
            f.BRIDGE,
            f.SHENZHEN,
        ),
    )
    unsigned = envelope_pb2.Envelope()
    unsigned.CopyFrom(SECOND_DECISION)
    unsigned.signatures[0].signature = bytes(64)
    yield case(
        "second-decision-not-signed",
        "MESSAGE_REFUSED",
        "a decision that the bridge never made",
        contradiction(f.DECISION, unsigned, f.BRIDGE),
    )
    yield case(
        "lock-by-a-stranger",
        "KEY_NOT_SHOWN",
        "a second lock under another key",
        contradiction(f.LOCK, f.lock(by=f.STRANGER, purpose="x"), f.SHANGHAI),
    )
    yield case(
        "witness-grew",
        nothing,
        "an honest witness accused",
        witness_file(cosigned(SIZE, LARGE_ROOT, 2_000), cosigned(5, SMALL_ROOT, 1_000)),
    )
    yield case(
        "two-witnesses",
        "LOG_UNKNOWN",
        "two witnesses held against each other",
        witness_file(cosigned(SIZE, LARGE_ROOT, 1_000), cosigned(5, SMALL_ROOT, 2_000, 1)),
    )
    yield case(
        "witness-time-forged",
        "NOTE_SIGNATURE_WRONG",
        "a cosignature moved in time",
        witness_file(cosigned(SIZE, LARGE_ROOT, 1_000), _retimed()),
    )


def _retimed() -> bytes:
    note = signed(Checkpoint(ORIGIN, 5, SMALL_ROOT).encode())
    line = cosignature(note.text, WITNESSES[0], 500)
    moved = type(line)(line.name, line.key_id, (5_000).to_bytes(8, "big") + line.signature[8:])
    return note.with_signatures([moved]).encode()
