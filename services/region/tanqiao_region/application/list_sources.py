"""Where rows of public lists are read: the registers as they stand, or as they stood at an earlier index.

Both answer alike. What has passed is read from the versions that are kept with every change of a register,
from the steps of its histories, and, for sums of units, from today's sums less what the journal has since.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.region.v1 import certificates_pb2, dossiers_pb2, registers_pb2, reserve_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao_region.application.freezes import replayed
from tanqiao_region.application.records import recognition_of
from tanqiao_region.domain.rules.facts import Recognition
from tanqiao_region.storage import (
    certificates,
    disclosure,
    dossiers,
    issuance,
    node,
    orders,
    parameter_tables,
    register_history,
    registers,
    reserve,
    versions,
)
from tanqiao_region.storage.disclosure import SeriesSums, UseSum
from tanqiao_region.storage.since import Since, counted_on
from tanqiao_region.storage.transfers import used_for_purpose_kg

CERTIFICATE: Final = "certificate"
SCAN_PAGE: Final = 500
"""Rows that are read at once where not every one is shown."""

Row = TypeVar("Row")
EntryPosition = tuple[bool, str]


@dataclass(frozen=True)
class Present:
    """The registers as they stand."""

    connection: sa.Connection

    def methodologies(self, after: str, limit: int) -> Sequence[registers_pb2.Methodology]:
        """Give a page in the order of their numbers."""
        return registers.list_methodologies(self.connection, after=after, limit=limit)

    def count_methodologies(self) -> int:
        """Give how many were published, those that are stopped or superseded too."""
        return disclosure.count_methodologies(self.connection)

    def projects(self, after: str, limit: int) -> Sequence[registers_pb2.Project]:
        """Give a page in the order of their ids."""
        return registers.list_projects(self.connection, state=0, after=after, limit=limit)

    def dossier(self, kind: int, dossier_id: str) -> dossiers_pb2.Dossier | None:
        """Give one, or None."""
        row = dossiers.load_dossier(self.connection, kind, dossier_id)
        return None if row is None else row.message

    def dossiers(
        self, kind: int, states: Sequence[str], after: str, limit: int
    ) -> Sequence[dossiers_pb2.Dossier]:
        """Give a page of a kind in the order of ids, of these states or of any."""
        found = dossiers.list_dossiers(self.connection, kind, states, after=after, limit=limit)
        return [row.message for row in found]

    def count_dossiers(self, kind: int, states: Sequence[str]) -> int:
        """Give how many of a kind are in these states."""
        return disclosure.count_dossiers(self.connection, kind, states)

    def experts(self, after: str, limit: int) -> Sequence[dossiers_pb2.Expert]:
        """Give a page of the pool."""
        return dossiers.list_experts(self.connection, after=after, limit=limit)

    def entries(self, after: EntryPosition | None, limit: int) -> Sequence[reserve_pb2.CarbonResource]:
        """Give a page of the reserve, low-income areas first."""
        return reserve.list_entries(self.connection, after=after, limit=limit)

    def certificates(
        self, states: Sequence[str], after: str, limit: int
    ) -> Sequence[certificates_pb2.Certificate]:
        """Give a page of those in these states, by number."""
        found = certificates.list_certificates(self.connection, states, after=after, limit=limit)
        return [row.message for row in found]

    def agreements(self) -> Sequence[Recognition]:
        """Give every recognition record."""
        return _agreements(payload for payload, _ in node.load_recognitions(self.connection))

    def parameters(self) -> Sequence[parameter_tables.ParameterRow]:
        """Give what was published, in the order of the journal."""
        return parameter_tables.load_parameters(self.connection)

    def is_issued(self, issuance_row: issuance.ShownIssuance) -> bool:
        """Whether the units were created."""
        return issuance_row.state == disclosure.ISSUED

    def issued_of_projects(self, project_ids: Iterable[str]) -> dict[str, int]:
        """Give how many kilograms some projects have been issued."""
        return disclosure.issued_of_projects(self.connection, project_ids)

    def sums_of_series(self, series_ids: Iterable[str]) -> dict[str, SeriesSums]:
        """Give what some series hold, have frozen and cancelled here."""
        return disclosure.sums_of_series(self.connection, series_ids)

    def uses_by_series(self, series_ids: Iterable[str]) -> Sequence[UseSum]:
        """Give what was used of some series by purpose and year."""
        return disclosure.uses_by_series(self.connection, series_ids)

    def uses_by_class(self) -> Sequence[UseSum]:
        """Give what was used at this node by purpose, class and year."""
        return disclosure.uses_by_class(self.connection)

    def used_for_purpose_kg(self, purpose: str, year: int) -> int:
        """Give kilograms used or being used for a purpose in a compliance year."""
        return sum(used_for_purpose_kg(self.connection, purpose, year).values())


@dataclass(frozen=True)
class Past(Present):
    """The registers as they stood when the entry `index` was the journal's last.

    Args:
        connection: a snapshot.
        index: of the entry.
        since: what the journal has behind it, up to this snapshot's head.
    """

    index: int
    since: Since

    def methodologies(self, after: str, limit: int) -> Sequence[registers_pb2.Methodology]:
        """As above, as of the index."""
        found = self._versions(versions.METHODOLOGY, after, limit)
        return [registers_pb2.Methodology.FromString(one.content) for one in found]

    def count_methodologies(self) -> int:
        """As above, as of the index."""
        return sum(1 for _ in self._walk(self.methodologies, lambda one: one.methodology_id))

    def projects(self, after: str, limit: int) -> Sequence[registers_pb2.Project]:
        """As above, as of the index."""
        found = self._versions(versions.PROJECT, after, limit)
        return [registers_pb2.Project.FromString(one.content) for one in found]

    def dossier(self, kind: int, dossier_id: str) -> dossiers_pb2.Dossier | None:
        """As above, as of the index."""
        register = versions.register_of_dossiers(kind)
        found = versions.version_as_of(self.connection, register, dossier_id, self.index)
        return None if found is None else dossiers_pb2.Dossier.FromString(found)

    def dossiers(
        self, kind: int, states: Sequence[str], after: str, limit: int
    ) -> Sequence[dossiers_pb2.Dossier]:
        """As above, as of the index."""

        def page(behind: str, size: int) -> Sequence[dossiers_pb2.Dossier]:
            found = self._versions(versions.register_of_dossiers(kind), behind, size)
            return [dossiers_pb2.Dossier.FromString(one.content) for one in found]

        chosen: list[dossiers_pb2.Dossier] = []
        for one in self._walk(page, lambda shown: shown.dossier_id, after):
            if not states or one.state in states:
                chosen.append(one)
            if len(chosen) == limit:
                break
        return chosen

    def count_dossiers(self, kind: int, states: Sequence[str]) -> int:
        """As above, as of the index."""

        def page(after: str, limit: int) -> Sequence[dossiers_pb2.Dossier]:
            return self.dossiers(kind, states, after, limit)

        return sum(1 for _ in self._walk(page, lambda one: one.dossier_id))

    def experts(self, after: str, limit: int) -> Sequence[dossiers_pb2.Expert]:
        """As above, as of the index."""
        found = self._versions(versions.EXPERT, after, limit)
        return [dossiers_pb2.Expert.FromString(one.content) for one in found]

    def entries(self, after: EntryPosition | None, limit: int) -> Sequence[reserve_pb2.CarbonResource]:
        """As above, as of the index; an entry that no step is known of is older than every index."""
        shown: list[reserve_pb2.CarbonResource] = []
        while len(shown) < limit:
            found = registers.list_resources(self.connection, after=after, limit=SCAN_PAGE)
            shown += reserve.as_they_stood(self.connection, found, self.index)
            if len(found) < SCAN_PAGE:
                break
            after = (found[-1].low_income_area, found[-1].entry_id)
        return shown[:limit]

    def certificates(
        self, states: Sequence[str], after: str, limit: int
    ) -> Sequence[certificates_pb2.Certificate]:
        """As above, as of the index."""
        shown: list[certificates_pb2.Certificate] = []
        while len(shown) < limit:
            found = certificates.list_certificates(self.connection, (), after=after, limit=SCAN_PAGE)
            numbers = [row.message.number for row in found]
            steps = register_history.last_steps(self.connection, CERTIFICATE, numbers, self.index)
            for row in found:
                step = steps.get(row.message.number)
                if step is not None and step.to_state in states:
                    row.message.state = step.to_state
                    shown.append(row.message)
            if len(found) < SCAN_PAGE:
                break
            after = numbers[-1]
        return shown[:limit]

    def agreements(self) -> Sequence[Recognition]:
        """As above, as of the index."""
        found = self._walk(
            lambda after, limit: self._versions(versions.AGREEMENT, after, limit), lambda one: one.object_id
        )
        return _agreements(one.content for one in found)

    def parameters(self) -> Sequence[parameter_tables.ParameterRow]:
        """As above, as of the index."""
        found = parameter_tables.load_parameters(self.connection)
        return [row for row in found if row.journal_index <= self.index]

    def is_issued(self, issuance_row: issuance.ShownIssuance) -> bool:
        """As above, as of the index."""
        return super().is_issued(issuance_row) and issuance_row.issuance_id not in self.since.issued

    def issued_of_projects(self, project_ids: Iterable[str]) -> dict[str, int]:
        """As above, as of the index."""
        issued = super().issued_of_projects(project_ids)
        for project_id, quantity_kg in disclosure.issued_by_project(self.connection, self.since.issued):
            if project_id in issued:
                issued[project_id] -= quantity_kg
        return issued

    def sums_of_series(self, series_ids: Iterable[str]) -> dict[str, SeriesSums]:
        """As above, as of the index."""
        now = super().sums_of_series(series_ids)
        stopped = [
            UnitBlock(row.series_id, row.start, row.end)
            for row, _ in replayed(self._orders(), {})
            if row.series_id in now
        ]
        frozen = disclosure.covered_kg(stopped)
        return {
            one: SeriesSums(
                sums.held_kg - self.since.held_kg[one],
                frozen.get(one, 0),
                sums.cancelled_kg - self.since.cancelled_kg[one],
            )
            for one, sums in now.items()
        }

    def _orders(self) -> list[orders.OrderRow]:
        return [one for one in orders.all_orders(self.connection) if one.journal_index <= self.index]

    def uses_by_series(self, series_ids: Iterable[str]) -> Sequence[UseSum]:
        """As above, as of the index."""
        return self._uses_then(super().uses_by_series(series_ids), lambda series_id: series_id)

    def uses_by_class(self) -> Sequence[UseSum]:
        """As above, as of the index."""
        used = sorted({series_id for series_id, _, _ in self.since.used_kg})
        classes = {one[0]: one[2] for one in issuance.series_classes(self.connection, used)}
        return self._uses_then(super().uses_by_class(), lambda series_id: classes.get(series_id, ""))

    def _uses_then(self, now: Sequence[UseSum], key: Callable[[str], str]) -> Sequence[UseSum]:
        later: dict[tuple[str, str, str], int] = {}
        for (series_id, purpose, year), quantity_kg in self.since.used_kg.items():
            named = (key(series_id), purpose, year)
            later[named] = later.get(named, 0) + quantity_kg
        then = [use._replace(quantity_kg=use.quantity_kg - later.get(use[:3], 0)) for use in now]
        return [use for use in then if use.quantity_kg]

    def used_for_purpose_kg(self, purpose: str, year: int) -> int:
        """As above, as of the index."""
        return super().used_for_purpose_kg(purpose, year) - self.since.claimed_kg[purpose, year]

    def _versions(self, register: str, after: str, limit: int) -> Sequence[versions.Version]:
        return versions.versions_as_of(self.connection, register, self.index, after=after, limit=limit)

    def _walk(
        self, page: Callable[[str, int], Sequence[Row]], key: Callable[[Row], str], after: str = ""
    ) -> Iterator[Row]:
        """Walk over a register, a page at a time."""
        while found := page(after, SCAN_PAGE):
            yield from found
            after = key(found[-1])


class CountedSince:
    """Keeps what was counted for the last few indexes that were asked about, so that pages count on."""

    KEPT_MAX: Final = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Since] = OrderedDict()

    def since(self, connection: sa.Connection, index: int, head: int) -> Since:
        """Give what the journal has behind an index, up to the head of this snapshot."""
        with self._lock:
            known = self._kept.get(index)
        if known is None or known.up_to > head:  # another reader's snapshot is newer than this one
            known = Since(index)
        counted = counted_on(connection, known, head) if known.up_to < head else known
        with self._lock:
            self._kept[index] = counted
            self._kept.move_to_end(index)
            if len(self._kept) > self.KEPT_MAX:
                self._kept.popitem(last=False)
        return counted


def _agreements(payloads: Iterable[bytes]) -> list[Recognition]:
    return [recognition_of(messages_pb2.RecognitionRecord.FromString(payload)) for payload in payloads]
