"""What outside registries said to a batch of questions; a registry that did not answer is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from tanqiao.claims.model import Asset, Claim, GecStateName

ReadRecord = tuple[Claim, Asset]
"""A record of an outside list, read as a claim of its programme on an asset of its own."""


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """What one registry said to a batch of questions; silent registries have answered nothing."""

    registry: str
    answered: bool
    as_of: date | None = None
    records: tuple[tuple[ReadRecord, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """What all gateways said to a batch of questions, in the order of the questions.

    `asked_at_index` is the size of the bridge's log before the first of them was asked.
    """

    by_registry: Mapping[str, RegistryAnswer] = field(default_factory=dict)
    asked_at_index: int = 0
    silent: tuple[str, ...] = field(init=False)
    """Registries that did not answer."""
    _records: Mapping[int, list[ReadRecord]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        silent = tuple(name for name, answer in self.by_registry.items() if not answer.answered)
        records: dict[int, list[ReadRecord]] = {}
        for answer in self.by_registry.values():
            if answer.answered:
                for position, found in enumerate(answer.records):
                    if found:
                        records.setdefault(position, []).extend(found)
        object.__setattr__(self, "silent", silent)
        object.__setattr__(self, "_records", records)

    @property
    def frozen_for(self) -> set[str]:
        """Claims for which the registries say that certificates are frozen."""
        states = (claim.gec for found in self._records.values() for claim, _ in found)
        return {
            state.frozen_for
            for state in states
            if state is not None and state.state is GecStateName.FROZEN and state.frozen_for is not None
        }

    def records_of(self, index: int) -> list[ReadRecord]:
        """Give the records that answer one question."""
        return self._records.get(index, [])


@dataclass(frozen=True, slots=True)
class ListInForce:
    """What a gateway answers from; one that has no list has not answered."""

    registry: str
    answered: bool
    as_of: date | None = None
    import_id: str = ""
    source: str = ""
