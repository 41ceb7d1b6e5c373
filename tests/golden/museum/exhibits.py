"""The log, the keys and the good files behind the exhibits; the keys are worthless: their seeds are here."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.keys import KeyType, NoteSigner
from tanqiao.tlog.leaf import Leaf, make_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.note import Note, NoteSignature, sign_note
from tanqiao.tlog.policy import federation_policy
from tanqiao.tlog.proof import Proof
from tanqiao.tlog.tiles import TileBuilder, bundles_of_growth, encode_bundle

ORIGIN = "test-federation.example/decisions"

TIME_SECONDS = 1_750_000_000

LEAF_COUNT = 300  # one full tile, one partial tile, one tile above

PROVEN_INDEX = 123


@dataclass(frozen=True)
class BadFile:
    """One exhibit: the bytes, what the attacker wanted, and the reason with which it is refused."""

    kind: str
    name: str
    reason: str
    attack: str
    data: bytes
    leaf: bytes | None = None
    tile: str | None = None


def signer(name: str, key_type: KeyType = KeyType.ED25519) -> NoteSigner:
    """Key pair whose seed is the hash of its name."""
    seed = sha256(f"museum key {name}".encode()).digest()
    return NoteSigner.from_private_key(name, Ed25519PrivateKey.from_private_bytes(seed), key_type)


LOG = signer(ORIGIN)

OTHER_LOG = signer("test-federation.example/another")

WITNESSES = [signer(f"witness-{number}.example", KeyType.COSIGNATURE_V1) for number in (1, 2, 3)]

STRANGER = signer("stranger.example", KeyType.COSIGNATURE_V1)

LATER_WITNESSES = [
    WITNESSES[2],
    *(signer(f"witness-{number}.example", KeyType.COSIGNATURE_V1) for number in (4, 5)),
]
REPLACED_FROM = 10_000
"""From this size on the later witnesses count, of whom one counted before."""

FIRST_POLICY = federation_policy([LOG.key], [(f"w{number}", w.key) for number, w in enumerate(WITNESSES, 1)])

LATER_POLICY = federation_policy(
    [LOG.key], [(f"w{number}", w.key) for number, w in enumerate(LATER_WITNESSES, 3)]
)

POLICY = replace(FIRST_POLICY, later=((REPLACED_FROM, LATER_POLICY),))

LATER_CHECKPOINT = Checkpoint(ORIGIN, REPLACED_FROM, sha256(b"a larger tree").digest())


def museum_leaf(number: int) -> Leaf:
    """The leaf of a made-up decision."""
    return make_leaf(
        "decision",
        message_hashes=[sha256(b"lock %d" % number).digest(), sha256(b"ready %d" % number).digest()],
        signer_key_ids=[b"key-%d" % (number % 2)],
        public={"outcome": b"COMMIT", "transfer": b"%d" % number},
    )


LEAVES = [museum_leaf(number).encode() for number in range(LEAF_COUNT)]

TREE = MemoryTree(hash_leaf(leaf) for leaf in LEAVES)

CHECKPOINT = Checkpoint(ORIGIN, LEAF_COUNT, TREE.root())


def base64(data: bytes) -> bytes:
    return b64encode(data)


def signed(text: bytes, *witnesses: NoteSigner, by: NoteSigner = LOG) -> Note:
    """A note over any text, however malformed, by the log and witnesses that were made to sign it."""
    lines = [NoteSignature(by.key.name, by.key.key_id, by.sign(text))]
    lines += [cosignature(text, witness) for witness in witnesses]
    return Note(text, tuple(lines))


def cosignature(text: bytes, witness: NoteSigner, time_seconds: int = TIME_SECONDS) -> NoteSignature:
    message = b"cosignature/v1\ntime %d\n" % time_seconds + text
    return NoteSignature(
        witness.key.name, witness.key.key_id, time_seconds.to_bytes(8, "big") + witness.sign(message)
    )


def good_checkpoint() -> Note:
    """The checkpoint of the museum's log, cosigned by two of three witnesses."""
    note = sign_note(CHECKPOINT.encode(), LOG)
    return note.with_signatures(cosign(note.text, witness, TIME_SECONDS) for witness in WITNESSES[:2])


def good_proof(extra: bytes | None = None) -> Proof:
    return Proof(PROVEN_INDEX, tuple(TREE.inclusion_proof(PROVEN_INDEX)), good_checkpoint().encode(), extra)


def tiles() -> dict[str, bytes]:
    """Every tile and bundle of the museum's log, by path."""
    builder = TileBuilder()
    builder.extend(hash_leaf(leaf) for leaf in LEAVES)
    found = {tile.path: data for tile, data in builder.take_tiles().items()}
    for bundle in bundles_of_growth(0, LEAF_COUNT):
        start = bundle.number * 256
        found[bundle.path] = encode_bundle(LEAVES[start : start + bundle.width])
    return found


def next_letter(letter: int) -> bytes:
    """The base64 letter whose value is one higher: the stray bits behind the last byte change."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    at = alphabet.index(letter) + 1
    return alphabet[at : at + 1]
