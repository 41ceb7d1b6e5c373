"""Mutations of a signed message: every field at every depth, and damage to its bytes.

A mutation is named by the field's path and by what is done to it, so that the same one can be made again; the
generator only chooses among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.envelope import Signer, sign_envelope
from tanqiao.signing.payload_types import PAYLOAD_TYPES
from tanqiao.signing.strict import is_map

UNKNOWN_FIELD: Final = b"\xf8\x3f\x01"
JUNK: Final = b"\xff\xff\xff"
LONG: Final = 10_000
MANY: Final = 1_001
PARTIES: Final = ("region/310000", "region/440300", "region/530000", "region/999999", "bridge", "")
BITS: Final = {FieldDescriptor.CPPTYPE_INT32: 31, FieldDescriptor.CPPTYPE_INT64: 63}
UNKNOWN_ENUM: Final = 9_999

Path = tuple[str | int, ...]


@dataclass
class Pool:
    """Ids, hashes and names that are in use: what collides is taken from here."""

    values: dict[int, list[bytes]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=lambda: list(PARTIES))

    def add(self, *values: bytes) -> None:
        """Note ids and hashes."""
        for value in values:
            if value:
                self.values.setdefault(len(value), []).append(value)

    def like(self, value: bytes, random: Random) -> bytes:
        """Give another value in use of the same length."""
        known = self.values.get(len(value) or 32)
        return random.choice(known) if known else random.randbytes(len(value) or 32)


@dataclass(frozen=True)
class Mutation:
    """What is done, where; `refused`: whatever it meets, it is no message that this sender may send."""

    path: str
    name: str
    refused: bool
    make: Callable[[Message, Random, Pool], bytes]


TEXTS: Final[dict[str, Callable[[str, Random, Pool], str]]] = {
    "empty": lambda _, __, ___: "",
    "with NUL": lambda text, _, __: f"{text}\0x",
    "long": lambda text, _, __: (text or "x") * (LONG // max(1, len(text) or 1)),
    "of another": lambda _, random, pool: random.choice(pool.texts),
    "full width": lambda text, _, __: f"{text}\uff10\u202e\U0001f9ea",
    "path": lambda text, _, __: f"../{text}",
}
BYTES: Final[dict[str, Callable[[bytes, Random, Pool], bytes]]] = {
    "empty": lambda _, __, ___: b"",
    "shorter": lambda data, _, __: data[:-1],
    "longer": lambda data, _, __: data + b"\0",
    "a bit flipped": lambda data, random, _: flipped(data, random),
    "zeros": lambda data, _, __: bytes(len(data) or 32),
    "of another": lambda data, random, pool: pool.like(data, random),
    "random": lambda data, random, _: random.randbytes(len(data) or 16),
}
NUMBERS: Final[dict[str, Callable[[int, Random, int], int]]] = {
    "zero": lambda _, __, ___: 0,
    "minus one": lambda _, __, ___: -1,
    "one more": lambda value, _, bits: value + 1 if value < 2**bits - 1 else value,
    "one less": lambda value, _, __: value - 1,
    "greatest": lambda _, __, bits: 2**bits - 1,
    "least": lambda _, __, bits: -(2**bits),
    "random": lambda _, random, bits: random.randrange(2**bits),
}
ALWAYS_REFUSED: Final = ("header.network_id", "header.sender", "header.key_epoch")


def fields_of(message: Message) -> list[FieldDescriptor]:
    """Give the fields of a message's type; the two names of their class are one."""
    return list(message.DESCRIPTOR.fields)  # type: ignore[arg-type]


def flipped(data: bytes, random: Random) -> bytes:
    """Flip one bit; of nothing make one byte."""
    if not data:
        return b"\1"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def mutations(message: Message, signer: Signer) -> list[Mutation]:
    """Give every mutation of a message; what stands in an embedded envelope is signed again by `signer`."""
    found = list(_of_message(message, (), signer))
    found += [
        Mutation("", "an unknown field", True, lambda m, _, __: m.SerializeToString() + UNKNOWN_FIELD),
        Mutation("", "junk behind it", True, lambda m, _, __: m.SerializeToString() + JUNK),
        Mutation("", "nothing", True, lambda *_: b""),
        Mutation("", "cut off", False, lambda m, r, _: _cut(m.SerializeToString(), r)),
        Mutation("", "a bit flipped", False, lambda m, r, _: flipped(m.SerializeToString(), r)),
        Mutation("", "random bytes", False, lambda _, r, __: r.randbytes(r.randrange(1, 200))),
        Mutation("", "twice", False, lambda m, _, __: m.SerializeToString() * 2),
    ]
    return found


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def _of_message(message: Message, path: Path, signer: Signer) -> Iterator[Mutation]:
    for descriptor in fields_of(message):
        here = (*path, descriptor.name)
        if is_map(descriptor):
            yield _change(here, "an entry more", lambda owner, name, _, __: _put(owner, name))
        elif descriptor.is_repeated:
            yield from _of_repeated(message, descriptor, here, signer)
        elif descriptor.message_type is not None:
            yield from _of_nested(message, descriptor, here, signer)
        else:
            yield from _of_scalar(descriptor, here)


def _of_nested(
    message: Message, descriptor: FieldDescriptor, path: Path, signer: Signer
) -> Iterator[Mutation]:
    yield _change(path, "left out", lambda owner, name, _, __: owner.ClearField(name))
    yield _change(path, "empty", lambda owner, name, _, __: _emptied(owner, name))
    yield _change(path, "an unknown field", _with_unknown, refused=True)
    if not message.HasField(descriptor.name):
        return
    nested = getattr(message, descriptor.name)
    yield from _of_message(nested, path, signer)
    if isinstance(nested, envelope_pb2.Envelope) and nested.payload_type in PAYLOAD_TYPES:
        yield from _of_embedded(nested, path, signer)


def _of_embedded(envelope: envelope_pb2.Envelope, path: Path, signer: Signer) -> Iterator[Mutation]:
    """What is inside an embedded envelope, signed again by a key that is valid and not its sender's."""
    inner = PAYLOAD_TYPES[envelope.payload_type].FromString(envelope.payload)
    for one in mutations(inner, signer):

        def change(owner: Any, name: str, random: Random, pool: Pool, one: Mutation = one) -> None:
            kept = getattr(owner, name)
            whole = PAYLOAD_TYPES[kept.payload_type].FromString(kept.payload)
            made = sign_envelope(signer, kept.payload_type, one.make(whole, random, pool))
            kept.CopyFrom(made)

        yield _change(path, f"inside: {one.path} {one.name}", change)


def _of_repeated(
    message: Message, descriptor: FieldDescriptor, path: Path, signer: Signer
) -> Iterator[Mutation]:
    values = getattr(message, descriptor.name)
    yield _change(path, "left out", lambda owner, name, _, __: owner.ClearField(name))
    yield _change(path, "too many", lambda owner, name, _, __: _many(getattr(owner, name)))
    if len(values):
        yield _change(path, "the first twice", lambda owner, name, _, __: _twice(getattr(owner, name)))
        yield _change(path, "without the last", lambda owner, name, _, __: _shorter(getattr(owner, name)))
        if descriptor.message_type is not None:
            yield from _of_message(values[0], (*path, 0), signer)
        else:
            yield from _of_scalar(descriptor, (*path, 0))


def _of_scalar(descriptor: FieldDescriptor, path: Path) -> Iterator[Mutation]:
    if descriptor.enum_type is not None:
        numbers = [value.number for value in descriptor.enum_type.values]
        yield _set(path, "an unknown value", lambda *_: UNKNOWN_ENUM, refused=True)
        yield _set(path, "another value", lambda _, random, __: random.choice(numbers))
    elif descriptor.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        choices: Mapping[str, Callable[[Any, Random, Pool], Any]] = (
            BYTES if descriptor.type == FieldDescriptor.TYPE_BYTES else TEXTS
        )
        for name, make in choices.items():
            yield _set(path, name, make)
    elif descriptor.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        yield _set(path, "the other", lambda value, _, __: not value)
    else:
        bits = BITS[descriptor.cpp_type]
        for name, number in NUMBERS.items():
            yield _set(path, name, lambda v, random, _, n=number: n(v, random, bits))  # type: ignore[misc]


def _set(
    path: Path, name: str, make: Callable[[Any, Random, Pool], Any], *, refused: bool = False
) -> Mutation:
    def change(owner: Any, last: str | int, random: Random, pool: Pool) -> None:
        if isinstance(last, int):
            owner[last] = make(owner[last], random, pool)
        else:
            setattr(owner, last, make(getattr(owner, last), random, pool))

    return _change(path, name, change, refused=refused)


def _change(
    path: Path, name: str, change: Callable[[Any, Any, Random, Pool], object], *, refused: bool = False
) -> Mutation:
    shown = shown_path(path)

    def make(message: Message, random: Random, pool: Pool) -> bytes:
        copy = type(message)()
        copy.CopyFrom(message)
        owner: Any = copy
        for step in path[:-1]:
            owner = owner[step] if isinstance(step, int) else getattr(owner, step)
        change(owner, path[-1], random, pool)
        return copy.SerializeToString()

    return Mutation(shown, name, refused, make)


def shown_path(path: Sequence[str | int]) -> str:
    """Give a path as it is read: ``blocks[0].start_serial``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _put(owner: Any, name: str) -> None:
    getattr(owner, name)["x" * 200] = "\0"


def _emptied(owner: Any, name: str) -> None:
    owner.ClearField(name)
    getattr(owner, name).SetInParent()


def _with_unknown(owner: Any, name: str, _random: Random, _pool: Pool) -> None:
    getattr(owner, name).MergeFromString(UNKNOWN_FIELD)


def _many(values: Any) -> None:
    first = values[0] if len(values) else None
    for _ in range(MANY):
        if first is None and hasattr(values, "add"):
            values.add()
        elif first is None:
            try:
                values.append("x")
            except TypeError:
                values.append(b"x" if _takes_bytes(values) else 1)
        else:
            values.append(first)


def _takes_bytes(values: Any) -> bool:
    try:
        values.append(b"x")
    except TypeError:
        return False
    return True


def _twice(values: Any) -> None:
    values.append(values[0])


def _shorter(values: Any) -> None:
    """Take the last away; another change may have left none."""
    if len(values):
        values.pop()


def sample(cls: type[Message], random: Random, pool: Pool, depth: int = 0) -> Any:
    """Make a message of any type with something in every field."""
    made = cls()
    for descriptor in fields_of(made):
        if is_map(descriptor):
            continue
        if descriptor.message_type is not None:
            if depth >= 3:
                continue
            target = getattr(made, descriptor.name)
            nested = target.add() if descriptor.is_repeated else target
            nested.CopyFrom(sample(type(nested), random, pool, depth + 1))
            continue
        value: Any = 1
        if descriptor.enum_type is not None:
            value = descriptor.enum_type.values[-1].number
        elif descriptor.type == FieldDescriptor.TYPE_BYTES:
            value = pool.like(bytes(random.choice((16, 32))), random)
        elif descriptor.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            value = random.choice(pool.texts)
        elif descriptor.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            value = True
        if descriptor.is_repeated:
            getattr(made, descriptor.name).append(value)
        else:
            setattr(made, descriptor.name, value)
    return made
