"""What is sent: messages of every type as honest parties made them, in which state, and how spoilt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.envelope import Signer
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tests.fuzz.mutations import ALWAYS_REFUSED, Mutation, Pool, mutations

VERBATIM: Final = "verbatim"
SIGNED_AGAIN: Final = "signed again"
NOT_SIGNED_AGAIN: Final = "not signed again"


@dataclass(frozen=True)
class Base:
    """A message to be spoilt.

    Args:
        state: the state of what it is about, where it goes.
        message: as its sender made it, with its header.
        companion: what travels beside it.
        paths: paths that may be changed; empty: all. Where the sender has the right to say something else,
            only what makes the message void may be changed.
        whole_bytes: whether the bytes as a whole may be damaged, as the fields above.
    """

    state: str
    message: Any
    companion: bytes = b""
    paths: tuple[str, ...] = ()
    whole_bytes: bool = True

    @property
    def type_name(self) -> str:
        """Name of the message."""
        return str(self.message.DESCRIPTOR.name)


@dataclass(frozen=True)
class Shot:
    """One message as it goes out."""

    base: Base
    path: str
    change: str
    way: str
    payload: bytes
    companion: bytes
    refused: bool
    """Whether silence would be a fault: it must be answered with a code."""

    @property
    def payload_type(self) -> str:
        """Payload type under which it travels."""
        return payload_type_of(self.base.message)

    @property
    def hash(self) -> bytes:
        """Message hash."""
        return message_hash(self.payload_type, self.payload)

    def shown(self) -> str:
        """Say what it is, for a report."""
        where = self.path or "the whole"
        return f"{self.base.type_name} in {self.base.state}: {where} {self.change}, {self.way}"


class Spoiler:
    """Chooses mutations, all of a message in turn before any comes again.

    Args:
        random: the generator of this campaign.
        signer: the liar's key.
        pool: ids in use.
    """

    def __init__(self, random: Random, signer: Signer, pool: Pool) -> None:
        self._random = random
        self._signer = signer
        self._pool = pool
        self._left: dict[tuple[str, str], list[Mutation]] = {}

    def spoil(self, base: Base, way: str = SIGNED_AGAIN) -> Shot:
        """Spoil a message once; where only what voids it may be changed, it does not go out as it was."""
        shot = self._once(base, way)
        while base.paths and shot.change == VERBATIM:
            shot = self._once(base, way)
        return shot

    def _once(self, base: Base, way: str) -> Shot:
        key = (base.state, base.type_name)
        left = self._left.get(key)
        if not left:
            left = [one for one in mutations(base.message, self._signer) if _applies(base, one)]
            self._random.shuffle(left)
            self._left[key] = left
        one = left.pop()
        original = base.message.SerializeToString()
        try:
            payload = one.make(base.message, self._random, self._pool)
        except (IndexError, ValueError, TypeError, AttributeError):
            payload = original  # this message has nothing there to change: it goes as it is
        companion = base.companion
        if companion and self._random.random() < 0.05:
            companion = companion[: self._random.randrange(len(companion))]
        refused = payload != original and (one.refused or one.path in ALWAYS_REFUSED)
        change = one.name if payload != original else VERBATIM
        return Shot(base, one.path, change, way, payload, companion, refused)

    def verbatim(self, base: Base, way: str = SIGNED_AGAIN) -> Shot:
        """Give the message as it is."""
        return Shot(base, "", VERBATIM, way, base.message.SerializeToString(), base.companion, False)


def _applies(base: Base, one: Mutation) -> bool:
    if not one.path and not base.whole_bytes:
        return one.refused
    return not base.paths or not one.path or one.path.startswith(base.paths)


def batch_of(signer: Signer, shots: list[Shot]) -> envelope_pb2.EnvelopeBatch:
    """Sign shots of one type as one batch."""
    companions = [shot.companion for shot in shots]
    return sign_batch(
        signer,
        shots[0].payload_type,
        [shot.payload for shot in shots],
        companions if any(companions) else (),
    )


def damaged(batch: envelope_pb2.EnvelopeBatch, random: Random) -> str:
    """Damage a batch after it was signed: what its signature stood for is gone. Says what was done."""
    ways = ["signature", "key", "unsigned", "type", "payload", "more", "fewer", "companions", "two"]
    way = random.choice(ways)
    match way:
        case "signature":
            data = bytearray(batch.signatures[0].signature)
            data[random.randrange(len(data))] ^= 1
            batch.signatures[0].signature = bytes(data)
        case "key":
            batch.signatures[0].key_id = random.randbytes(16)
        case "unsigned":
            batch.ClearField("signatures")
        case "type":
            others = [name for name in sorted(PAYLOAD_TYPES) if name != batch.payload_type]
            batch.payload_type = random.choice([*others, "", "x" * 300, "text/plain"])
        case "payload":
            at = random.randrange(len(batch.payloads))
            batch.payloads[at] = batch.payloads[at] + b"\x00"
        case "more":
            batch.payloads.append(batch.payloads[0])
        case "fewer":
            del batch.payloads[random.randrange(len(batch.payloads))]
        case "companions":
            batch.companions.append(b"x")
            batch.payloads.append(b"x")
        case _:
            batch.signatures.add().CopyFrom(batch.signatures[0])
    return way


@dataclass
class Coverage:
    """What was sent and what came back."""

    sent: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    mutations: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    silent: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, shot: Shot) -> None:
        """Count a message that goes out."""
        self.sent[shot.base.type_name, shot.base.state, shot.way] += 1
        self.mutations.setdefault((shot.base.type_name, shot.base.state), set()).add((shot.path, shot.change))

    @property
    def total(self) -> int:
        """Messages sent."""
        return self.sent.total()

    def merge(self, other: Coverage) -> None:
        """Add another."""
        self.sent.update(other.sent)
        self.codes.update(other.codes)
        self.silent.update(other.silent)
        for key, found in other.mutations.items():
            self.mutations.setdefault(key, set()).update(found)

    def table(self) -> str:
        """Print per message type and state: messages, different mutations."""
        per: dict[tuple[str, str], Counter[str]] = {}
        for (name, state, way), count in self.sent.items():
            per.setdefault((name, state), Counter())[way] += count
        lines = [f"{'message':<20} {'state':<34} {'signed':>8} {'unsigned':>8} {'mutations':>9}"]
        for key in sorted(per):
            counts = per[key]
            unsigned = counts[NOT_SIGNED_AGAIN]
            lines.append(
                f"{key[0]:<20} {key[1]:<34} {counts.total() - unsigned:>8} {unsigned:>8} "
                f"{len(self.mutations.get(key, ())):>9}"
            )
        codes = ", ".join(f"{name} {count}" for name, count in sorted(self.codes.items()))
        return "\n".join([*lines, f"codes: {codes}"])
