"""Dated parameters: what the texts leave open (RULES section 13).

A pack declares which parameters exist and which reason refuses a step that needs one that is not set. Values
are dated, half-open [valid_from, valid_to), and carry their provenance. A demonstration value counts only on
a network whose id begins with ``test-``; elsewhere it is as if it were not there, and loading one that an
operator supplied is refused outright. Reading never guesses: no value in force is a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final, TypeVar

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken, require

Value = bool | int | str | date | frozenset[str] | Mapping[str, object]
"""A parameter's value; a table is read-only by convention and never holds a fraction."""

TEST_NETWORK_PREFIX: Final = "test-"

Read = TypeVar("Read")


class Provenance(StrEnum):
    """Where a value comes from."""

    SEED = "seed"
    INFERRED = "inferred"
    DEMONSTRATION = "demonstration"
    OPERATOR = "operator"


class Kind(StrEnum):
    """Type of a parameter's value."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    TEXT = "text"
    DATE = "date"
    TEXT_SET = "text_set"
    TABLE = "table"

    def accepts(self, value: object) -> bool:
        """Whether the value is of this type; a boolean is no integer."""
        match self:
            case Kind.BOOLEAN:
                return isinstance(value, bool)
            case Kind.INTEGER:
                return isinstance(value, int) and not isinstance(value, bool)
            case Kind.TEXT:
                return isinstance(value, str)
            case Kind.DATE:
                return isinstance(value, date)
            case Kind.TEXT_SET:
                return isinstance(value, frozenset)
            case Kind.TABLE:
                return isinstance(value, Mapping)


@dataclass(frozen=True, slots=True)
class ParameterDefinition:
    """A parameter that a pack knows.

    Args:
        key: name, ``<region>.<name>``; one with ``[]`` at its end is indexed (by year or by name).
        kind: type of its value.
        open_because: the rule or article that leaves it open.
        unset_reason: reason of the catalogue with which a step that needs it is refused.
        allowed: for text, the values it may take; empty = any.
    """

    key: str
    kind: Kind
    open_because: str
    unset_reason: str = "PARAMETER_NOT_SET"
    allowed: frozenset[str] = frozenset()

    @property
    def indexed(self) -> bool:
        """Whether each index has values of its own."""
        return self.key.endswith("[]")


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """One dated value with its grounds; a published one is never changed, only followed by another."""

    key: str
    value: Value
    valid_from: date | None
    provenance: Provenance
    document: str
    valid_to: date | None = None
    author: str = ""
    second_approver: str = ""

    def covers(self, on: date) -> bool:
        """Whether the value is in force on the legal date."""
        begins = self.valid_from is None or self.valid_from <= on
        return begins and (self.valid_to is None or on < self.valid_to)


def base_key(key: str) -> str:
    """Give the key of the definition that a value's key belongs to: ``a.b[2026]`` belongs to ``a.b[]``."""
    head, bracket, _ = key.partition("[")
    return f"{head}[]" if bracket else key


class Parameters:
    """All values known to a node for one pack, read by key and legal date.

    Later-starting values win over earlier ones; among values that start on one day the operator's wins over
    the pack's.

    Raises:
        DomainError: PARAMETER_INVALID, for a value whose key is not declared, whose type is wrong, or that is
            a demonstration value given by an operator outside a test network.
    """

    def __init__(
        self,
        definitions: Iterable[ParameterDefinition],
        pack_values: Iterable[ParameterValue],
        operator_values: Iterable[ParameterValue] = (),
        *,
        network_id: str,
    ) -> None:
        self._definitions: dict[str, ParameterDefinition] = {entry.key: entry for entry in definitions}
        self._network_id = network_id
        self._values: dict[str, list[tuple[date, int, ParameterValue]]] = {}
        for entry in pack_values:
            self._add(entry, rank=0)
        for entry in operator_values:
            if entry.provenance is Provenance.DEMONSTRATION and not self.is_test_network:
                raise DomainError(
                    "PARAMETER_INVALID",
                    parameter=entry.key,
                    value="demonstration",
                    allowed=f"on networks whose id begins with {TEST_NETWORK_PREFIX}",
                )
            self._add(entry, rank=1)
        for values in self._values.values():
            values.sort(key=lambda item: (item[0], item[1]))

    @property
    def is_test_network(self) -> bool:
        """Whether demonstration values count."""
        return self._network_id.startswith(TEST_NETWORK_PREFIX)

    @property
    def definitions(self) -> Mapping[str, ParameterDefinition]:
        """What the pack declares, by key."""
        return self._definitions

    def _add(self, entry: ParameterValue, *, rank: int) -> None:
        definition = self._definitions.get(base_key(entry.key))
        if definition is None:
            raise DomainError(
                "PARAMETER_INVALID", parameter=entry.key, value=entry.value, allowed="declared by the pack"
            )
        if not definition.kind.accepts(entry.value):
            raise DomainError(
                "PARAMETER_INVALID", parameter=entry.key, value=entry.value, allowed=definition.kind.value
            )
        if definition.allowed and entry.value not in definition.allowed:
            raise DomainError(
                "PARAMETER_INVALID", parameter=entry.key, value=entry.value, allowed=definition.allowed
            )
        begins = entry.valid_from if entry.valid_from is not None else date.min
        self._values.setdefault(entry.key, []).append((begins, rank, entry))

    def values_of(self, definition_key: str) -> tuple[ParameterValue, ...]:
        """Give every value of a declared parameter, of each index, the earliest first."""
        return tuple(
            entry
            for key, values in sorted(self._values.items())
            if base_key(key) == definition_key
            for _, _, entry in values
        )

    def entry(self, key: str, on: date) -> ParameterValue | None:
        """Give the value in force with its grounds, or None; the key must be declared."""
        require(base_key(key) in self._definitions, f"no pack declares the parameter {key}")
        for _, _, entry in reversed(self._values.get(key, [])):
            counts = entry.provenance is not Provenance.DEMONSTRATION or self.is_test_network
            if counts and entry.covers(on):
                return entry
        return None

    def get(self, key: str, on: date) -> Value:
        """Give the value in force on the legal date.

        Raises:
            DomainError: the reason that the definition names, PARAMETER_NOT_SET by default.
        """
        entry = self.entry(key, on)
        if entry is None:
            definition = self._definitions[base_key(key)]
            raise DomainError(definition.unset_reason, parameter=key, date=on.isoformat(), year=on.year)
        return entry.value

    def on(self, day: date) -> DatedParameters:
        """Give the parameters as they are on a legal date."""
        return DatedParameters(self, day)

    def with_values(self, values: Iterable[ParameterValue]) -> Parameters:
        """Give the same parameters with further values of the operator."""
        held = [item for items in self._values.values() for item in items]
        return Parameters(
            self._definitions.values(),
            [entry for _, rank, entry in held if rank == 0],
            [*(entry for _, rank, entry in held if rank == 1), *values],
            network_id=self._network_id,
        )


@dataclass(frozen=True, slots=True)
class DatedParameters:
    """Parameters on one legal date, read by type; an unset one refuses the step that asked."""

    parameters: Parameters
    day: date

    def has(self, key: str) -> bool:
        """Whether a value is in force."""
        return self.parameters.entry(key, self.day) is not None

    def boolean(self, key: str) -> bool:
        """Read a yes-or-no parameter."""
        return self._read(key, bool)

    def integer(self, key: str) -> int:
        """Read a whole number."""
        value = self._read(key, int)
        require(not isinstance(value, bool), f"{key} is yes or no, not a number")
        return value

    def text(self, key: str) -> str:
        """Read a text."""
        return self._read(key, str)

    def legal_date(self, key: str) -> date:
        """Read a date."""
        return self._read(key, date)

    def text_set(self, key: str) -> frozenset[str]:
        """Read a set of texts."""
        return self._read(key, frozenset)

    def table(self, key: str) -> Mapping[str, object]:
        """Read a table."""
        value = self.parameters.get(key, self.day)
        if not isinstance(value, Mapping):
            raise InvariantBroken(f"{key} is declared with another type than it is read with")
        return value

    def _read(self, key: str, kind: type[Read]) -> Read:
        value = self.parameters.get(key, self.day)
        if not isinstance(value, kind):
            raise InvariantBroken(f"{key} is declared with another type than it is read with")
        return value
