"""Strict reading of protobuf bytes: nothing unknown is passed over (PROTOCOL section 2, STYLE section 3).

A field that this version does not know, at any depth, is refused, and so is a value of an enum that it does
not know; neither is guessed. What the wire allows in more than one form (field order, long varints, packed or
not) is accepted: only the bytes are signed, they are never compared with an encoding of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from tanqiao.kernel.errors import DomainError, require

PLAN_CACHE_MAX: Final = 2048
PASSED_KEPT_MAX: Final = 1_024
DETAIL_FIELDS_MAX: Final = 8

M = TypeVar("M", bound=Message)


def parse_strict(message_class: type[M], data: bytes) -> M:
    """Read a message and refuse what this version does not know.

    Raises:
        DomainError: MESSAGE_MALFORMED, UNKNOWN_FIELD or ENUM_UNKNOWN, the last two with the field's path.
    """
    try:
        message = message_class.FromString(data)
    except (
        DecodeError,
        RuntimeError,
        ValueError,
    ) as error:  # RuntimeError: nested deeper than the parser goes
        raise DomainError(
            "MESSAGE_MALFORMED", detail=f"not a {message_class.DESCRIPTOR.name} in protobuf"
        ) from error
    # Unknown fields are found by size: dropping them makes the message smaller, and dropping nothing leaves
    # it. Both sizes are of the parsed message, so that the form in which the sender wrote it plays no part.
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise _unknown_field(message_class.FromString(data))
    plan = enum_plan(message.DESCRIPTOR)
    if plan is not None:
        plan.check(message, "")
    return message


def _unknown_field(message: Message) -> DomainError:
    paths = list(islice(_unknown_paths(message, ""), DETAIL_FIELDS_MAX))
    return DomainError("UNKNOWN_FIELD", field=paths[0] if paths else None, detail=", ".join(paths))


def _unknown_paths(message: Message, prefix: str) -> Iterator[str]:
    unknown = UnknownFieldSet(message)
    for position in range(len(unknown)):
        yield f"{prefix}#{unknown[position].field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if is_map(descriptor):
            if descriptor.message_type.fields_by_name["value"].message_type is not None:
                for key, entry in value.items():
                    yield from _unknown_paths(entry, f"{prefix}{descriptor.name}[{key}].")
        elif descriptor.is_repeated:
            for position, entry in enumerate(value):
                yield from _unknown_paths(entry, f"{prefix}{descriptor.name}[{position}].")
        else:
            yield from _unknown_paths(value, f"{prefix}{descriptor.name}.")


def is_map(descriptor: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    entry = descriptor.message_type
    return entry is not None and entry.GetOptions().map_entry


@dataclass(frozen=True, slots=True)
class EnumPlan:
    """Which fields of a message type can carry an enum value, at any depth; made once for each type."""

    enums: tuple[tuple[FieldDescriptor, frozenset[int]], ...]
    children: tuple[FieldDescriptor, ...]
    passed: set[tuple[int, ...]] = field(default_factory=set, compare=False, repr=False)
    """Values of fields that occur once which were found to be named, together; bounded."""
    read: Callable[[Message], tuple[int, ...]] | None = field(default=None, compare=False, repr=False)
    """Gives those values, where there is nothing else to be checked."""

    def passes(self, message: Message) -> bool:
        """Whether the same values were checked before; most messages of a batch have the same."""
        return self.read is not None and self.read(message) in self.passed

    def note(self, message: Message) -> None:
        """Remember the values of a message that was checked."""
        if self.read is not None and len(self.passed) < PASSED_KEPT_MAX:
            self.passed.add(self.read(message))

    def check(self, message: Message, prefix: str) -> None:
        """Refuse a value that the enum does not name, with its path."""
        for descriptor, numbers in self.enums:
            value = getattr(message, descriptor.name)
            if is_map(descriptor):
                for key, number in value.items():
                    _require_named(number, numbers, f"{prefix}{descriptor.name}[{key}]")
            elif descriptor.is_repeated:
                for position, number in enumerate(value):
                    _require_named(number, numbers, f"{prefix}{descriptor.name}[{position}]")
            else:
                _require_named(value, numbers, f"{prefix}{descriptor.name}")
        for descriptor in self.children:
            self._check_child(message, descriptor, prefix)

    def _check_child(self, message: Message, descriptor: FieldDescriptor, prefix: str) -> None:
        if is_map(descriptor):
            for key, entry in getattr(message, descriptor.name).items():
                _check_entry(entry, f"{prefix}{descriptor.name}[{key}].")
        elif descriptor.is_repeated:
            plan = enum_plan(_present(descriptor.message_type))
            for position, entry in enumerate(getattr(message, descriptor.name)):
                if plan is not None and not plan.passes(entry):
                    plan.check(entry, f"{prefix}{descriptor.name}[{position}].")
                    plan.note(entry)
        elif message.HasField(descriptor.name):
            _check_entry(getattr(message, descriptor.name), f"{prefix}{descriptor.name}.")


def _check_entry(entry: Message, prefix: str) -> None:
    plan = enum_plan(entry.DESCRIPTOR)
    if plan is not None:
        plan.check(entry, prefix)


def _require_named(number: int, numbers: frozenset[int], path: str) -> None:
    if number not in numbers:
        raise DomainError("ENUM_UNKNOWN", field=path, value=number)


@lru_cache(maxsize=PLAN_CACHE_MAX)
def enum_plan(descriptor: Descriptor) -> EnumPlan | None:
    """Give the plan of a message type, or None if no enum value can occur in it."""
    if not _holds_enum(descriptor, set()):
        return None
    enums, children = [], []
    for one in descriptor.fields:
        target = one
        if one.message_type is not None and is_map(one):
            target = one.message_type.fields_by_name["value"]
        if target.enum_type is not None:
            enums.append((one, frozenset(value.number for value in target.enum_type.values)))
        elif target.message_type is not None and _holds_enum(target.message_type, set()):
            children.append(one)
    require(bool(enums or children), "a plan checks something")
    read = None
    if not children and not any(one.is_repeated for one, _ in enums):
        names = [one.name for one, _ in enums]
        read = attrgetter(*names) if len(names) > 1 else _only(names[0])
    return EnumPlan(tuple(enums), tuple(children), read=read)


def _only(name: str) -> Callable[[Message], tuple[int, ...]]:
    return lambda message: (getattr(message, name),)


def _present(descriptor: Descriptor | None) -> Descriptor:
    require(descriptor is not None, "a field that holds messages names their type")
    return descriptor  # type: ignore[return-value] # required above


def _holds_enum(descriptor: Descriptor, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        one.enum_type is not None or (one.message_type is not None and _holds_enum(one.message_type, seen))
        for one in descriptor.fields
    )
