"""A small federation whose keys, messages and log are made from fixed seeds: what proof files rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.offline.location_map import HELD, LocationMap, MapPage, MapRow, location_root_leaf, page_of_rows
from tanqiao.offline.paths import path_of
from tanqiao.signing.batch import item_envelope, sign_batch
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import Signer, build_header, sign_envelope
from tanqiao.signing.federation import authority_of
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.suites import key_id_of
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.leaf import Leaf, make_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tests.golden.museum.exhibits import ORIGIN, WITNESSES, signed

NETWORK = "test-museum"
SHANGHAI, SHENZHEN, BRIDGE = "region/310000", "region/440300", "bridge"
AUTHORITIES = ("authority/310000", "authority/440300", "authority/bridge")
SERIES = "310000:SHCCER:p-1:2025:1"
BLOCKS = (values_pb2.UnitBlock(series_id=SERIES, start_serial=1000, end_serial=2000),)
USED_BLOCKS = (values_pb2.UnitBlock(series_id=SERIES, start_serial=0, end_serial=500),)
ADDRESS, ADDRESS_SALT = b"TQ-BUYER-7K2M", b"address-salt-16b"
OWNER, OWNER_SALT = bytes(range(32)), b"owner-salt-16byt"
BENEFICIARY, BENEFICIARY_SALT = "深圳某公司".encode(), b"benefic-salt-16b"
RULES = ((b"pack.toml", b'id = "museum"\n'), (b"rules.py", b"# the law\n"))
TRANSFER, USE, REFUSED, TWICE = (bytes([n]) * 16 for n in (1, 2, 3, 4))


def rules_digest(rules: Sequence[tuple[bytes, bytes]] = RULES) -> bytes:
    digest = sha256()
    for name, text in rules:
        digest.update(len(name).to_bytes(8, "big") + name)
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()


@dataclass(frozen=True)
class Key:
    signer: Signer
    public: bytes


def key(owner: str, role: KeyRole, epoch: int = 1) -> Key:
    seed = sha256(f"museum {owner} {role.name} {epoch}".encode()).digest()
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    return Key(Signer(owner, role, key_id_of(1, public), epoch, private.sign), public)


ROOTS = {owner: key(owner, KeyRole.ROOT) for owner in AUTHORITIES}
KEYS = {owner: key(owner, KeyRole.MESSAGE) for owner in (SHANGHAI, SHENZHEN, BRIDGE)}
STRANGER = key(SHANGHAI, KeyRole.MESSAGE, 9)


def envelope(signer: Signer, message: Message) -> envelope_pb2.Envelope:
    return sign_envelope(signer, payload_type_of(message), message.SerializeToString())


def hash_of(one: envelope_pb2.Envelope) -> bytes:
    return message_hash(one.payload_type, one.payload)


def header(signer: Signer, audience: str, transfer_id: bytes = b"", **fields: bytes) -> envelope_pb2.Header:
    return build_header(
        signer,
        network_id=NETWORK,
        audience=(audience,),
        message_id=sha256(signer.owner.encode() + transfer_id).digest()[:16],
        source=SHANGHAI if transfer_id else "",
        transfer_id=transfer_id,
        **fields,
    )


def key_record(of: Key, *, root: Key | None = None, revoked: bool = False) -> envelope_pb2.Envelope:
    root = root or ROOTS[authority_of(of.signer.owner)]
    return envelope(
        root.signer,
        messages_pb2.KeyRecord(
            header=header(root.signer, BRIDGE),
            owner=of.signer.owner,
            role=int(of.signer.role),  # type: ignore[arg-type]
            suite=messages_pb2.SUITE_ED25519,
            public_key=of.public,
            key_epoch=of.signer.key_epoch,
            revoked=revoked,
        ),
    )


def lock(
    transfer_id: bytes = TRANSFER, *, by: Key = KEYS[SHANGHAI], purpose: str = ""
) -> envelope_pb2.Envelope:
    """A LockAssertion, signed as one item of a batch of two."""
    message = messages_pb2.LockAssertion(
        header=header(by.signer, BRIDGE, transfer_id, rules_digest=rules_digest()),
        blocks=BLOCKS,
        destination=SHENZHEN,
        receiving_address_commitment=sha256(ADDRESS + ADDRESS_SALT).digest(),
        owner_commitment=sha256(OWNER + OWNER_SALT).digest(),
        purpose=purpose,
        quantity_kg=1000,
    )
    payload = message.SerializeToString()
    batch = sign_batch(by.signer, payload_type_of(message), [b"another", payload])
    return item_envelope(batch, 1)


def ready(to: envelope_pb2.Envelope, transfer_id: bytes = TRANSFER) -> envelope_pb2.Envelope:
    by = KEYS[SHENZHEN].signer
    return envelope(
        by,
        messages_pb2.Ready(
            header=header(by, BRIDGE, transfer_id, prev_hash=bytes(32)),
            lock_hash=hash_of(to),
            legal_date=values_pb2.Date(year=2026, month=3, day=2),
        ),
    )


def use(transfer_id: bytes = USE) -> envelope_pb2.Envelope:
    by = KEYS[SHANGHAI].signer
    return envelope(
        by,
        messages_pb2.Use(
            header=header(by, BRIDGE, transfer_id, rules_digest=rules_digest()),
            blocks=USED_BLOCKS,
            kind=messages_pb2.USE_KIND_RETIRE,
            purpose="voluntary",
            beneficiary_commitment=sha256(BENEFICIARY + BENEFICIARY_SALT).digest(),
            owner_commitment=sha256(OWNER + OWNER_SALT).digest(),
            quantity_kg=500,
            retiring_date=values_pb2.Date(year=2026, month=3, day=3),
        ),
    )


def decision(
    of: envelope_pb2.Envelope,
    answer: envelope_pb2.Envelope | None,
    transfer_id: bytes,
    index: int,
    outcome: int = messages_pb2.OUTCOME_COMMIT,
) -> envelope_pb2.Envelope:
    by = KEYS[BRIDGE].signer
    return envelope(
        by,
        messages_pb2.Decision(
            header=header(by, SHANGHAI, transfer_id, prev_hash=hash_of(of)),
            outcome=outcome,  # type: ignore[arg-type]
            lock_hash=hash_of(of),
            ready_hash=bytes(32) if answer is None else hash_of(answer),
            log_index=index,
            legal_date=values_pb2.Date(year=2026, month=3, day=2),
            bridge_epoch=1,
        ),
    )


def decision_leaf(
    transfer_id: bytes, kind: str, outcome: str, messages: Sequence[envelope_pb2.Envelope]
) -> Leaf:
    blocks = USED_BLOCKS if kind == "RETIRE" else BLOCKS
    named = "\n".join(f"{b.series_id}[{b.start_serial},{b.end_serial})" for b in blocks)
    return make_leaf(
        "decision",
        message_hashes=[hash_of(one) for one in messages],
        signer_key_ids=[one.signatures[0].key_id for one in messages],
        public={
            "blocks": named.encode(),
            "destination": SHENZHEN.encode() if kind == "TRANSFER" else b"sink",
            "kind": kind.encode(),
            "legal_date": b"2026-03-02",
            "outcome": outcome.encode(),
            "source": SHANGHAI.encode(),
            "transfer_id": transfer_id,
        },
    )


def anchor_leaf(root: Key) -> Leaf:
    public = {
        "key_id": root.signer.key_id,
        "owner": root.signer.owner.encode(),
        "public_key": root.public,
        "role": b"ROOT",
    }
    return make_leaf("trust_anchor", public=public)


def record_leaf(of: Key, record: envelope_pb2.Envelope) -> Leaf:
    public = {
        "key_id": of.signer.key_id,
        "owner": of.signer.owner.encode(),
        "role": of.signer.role.name.encode(),
    }
    return make_leaf(
        "key_record",
        message_hashes=[hash_of(record)],
        signer_key_ids=[one.key_id for one in record.signatures],
        public=public,
    )


def issue_leaf(start: int, end: int, issue_id: bytes = b"i" * 16) -> Leaf:
    return make_leaf(
        "issue",
        message_hashes=[sha256(b"issue").digest(), sha256(b"receipt").digest()],
        public={
            "accepted": b"1",
            "block": f"{SERIES}[{start},{end})".encode(),
            "claim_id": b"c-1",
            "issue_id": issue_id,
            "region": SHANGHAI.encode(),
        },
    )


RECORDS = {owner: key_record(KEYS[owner]) for owner in KEYS}
LOCK, USE_MESSAGE = lock(), use()
READY = ready(LOCK)
ISSUED_AT = len(ROOTS) + len(KEYS)
TRANSFER_AT, USED_AT, REFUSED_AT, MAP_AT = ISSUED_AT + 1, ISSUED_AT + 2, ISSUED_AT + 3, ISSUED_AT + 4
DECISION = decision(LOCK, READY, TRANSFER, TRANSFER_AT)
USE_DECISION = decision(USE_MESSAGE, None, USE, USED_AT)
REFUSED_LOCK = lock(REFUSED)
ABORT = decision(REFUSED_LOCK, None, REFUSED, REFUSED_AT, messages_pb2.OUTCOME_ABORT)
MAP_ROWS = (
    MapRow(SERIES, 0, 500, SHANGHAI, 2),
    MapRow(SERIES, 500, 1000, SHANGHAI, HELD),
    MapRow(SERIES, 1000, 2000, SHENZHEN, HELD),
    MapRow(SERIES, 2000, 3000, SHANGHAI, HELD),
)
MAP_TREE = MemoryTree(hash_leaf(row.encode()) for row in MAP_ROWS)
OTHER_PAGE = MapPage(f"{SERIES}-2", 0, 1, bytes(32))
"""A page of another series, so that the map has two."""


def map_page() -> MapPage:
    """The page of the rows."""
    page = page_of_rows((SERIES, 0), [row.values for row in MAP_ROWS])
    assert page is not None
    return page


def location_map() -> LocationMap:
    """The map of both pages."""
    made = LocationMap()
    made.put({page.key: page for page in (map_page(), OTHER_PAGE)})
    return made


MAP = location_map()


def log_leaves() -> list[bytes]:
    """The leaves of the honest log."""
    leaves = [anchor_leaf(root) for root in ROOTS.values()]
    leaves += [record_leaf(KEYS[owner], RECORDS[owner]) for owner in KEYS]
    leaves.append(issue_leaf(0, 3000))
    leaves.append(decision_leaf(TRANSFER, "TRANSFER", "COMMIT", (LOCK, READY, DECISION)))
    leaves.append(decision_leaf(USE, "RETIRE", "COMMIT", (USE_MESSAGE, USE_DECISION)))
    leaves.append(decision_leaf(REFUSED, "TRANSFER", "ABORT", (REFUSED_LOCK, ABORT)))
    leaves.append(location_root_leaf(MAP.size, MAP.root, MAP_AT))
    return [leaf.encode() for leaf in leaves]


@dataclass(frozen=True)
class SmallLog:
    """Leaves under a checkpoint that all witnesses cosigned."""

    leaves: list[bytes]

    @property
    def tree(self) -> MemoryTree:
        return MemoryTree(hash_leaf(leaf) for leaf in self.leaves)

    @property
    def checkpoint(self) -> bytes:
        text = Checkpoint(ORIGIN, len(self.leaves), self.tree.root()).encode()
        return signed(text, *WITNESSES).encode()

    def leaf(self, index: int) -> list[tuple[str, bytes]]:
        path = path_of(index, len(self.leaves), self.tree)
        return [("leaf", self.leaves[index]), ("path", path)]

    def keys(self, *owners: str) -> list[tuple[str, bytes]]:
        """Roots and records of these owners."""
        parts: list[tuple[str, bytes]] = []
        for at, owner in enumerate(ROOTS):
            if owner in {authority_of(one) for one in owners}:
                parts += self.leaf(at)
        for at, owner in enumerate(KEYS, len(ROOTS)):
            if owner in owners:
                parts += [*self.leaf(at), ("envelope", RECORDS[owner].SerializeToString())]
        return parts

    @property
    def entries(self) -> bytes:
        return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in self.leaves)


LOG_OF_FEDERATION = SmallLog(log_leaves())
