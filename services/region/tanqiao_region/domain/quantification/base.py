"""What every quantification plug-in promises: whole numbers, one rounding, and working that can be checked.

A plug-in turns metered activity into grams of CO2e by a formula of a methodology. Factors belong to the
methodology version, never to the node, the year or the program: they are handed in, and a factor that nobody
has given refuses the computation. Activity is counted in watt-hours, metres and grams, factors in
10**-9 of kg per kWh (equal to grams per Wh) or kg per km (equal to grams per metre), so that sums are exact.
They are rounded down to grams once per project and period, and to the grain of issue after that; what
lies below the grain is carried to the next period of the same asset.

A period whose result is negative yields no units and keeps its debit, which is stated and never set to zero
(DOMAIN section 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple, Protocol, TypeVar

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.quantities import GRAMS_PER_KG, floor_to_grain, parse_decimal

FACTOR_DECIMALS: Final = 9
FACTOR_SCALE: Final = 10**FACTOR_DECIMALS
RECORDS_MAX: Final = 1_000_000
"""Most records of one computation; a larger period is computed in parts by its submitter."""

Record_contra = TypeVar("Record_contra", contravariant=True)


class EvidenceLine(NamedTuple):
    """One record as it went into the sum.

    Args:
        reference: reference of the record.
        activity: activity in the unit of the result.
        grams: its own reduction, rounded down; the total is rounded from the exact sum, not from these.
        excluded: why the record does not count; empty if it does.
    """

    reference: str
    activity: int
    grams: int
    excluded: str = ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a methodology version fixes, and what is known of the site.

    Args:
        methodology: number of the methodology version.
        grain_kg: least quantity that is issued, kilograms.
        factors: factors by name in 10**-9 of their unit; the name ends in the unit.
        site: facts of the site by name, whole numbers with the unit in the name, such as ``capacity_w``.
    """

    methodology: str
    grain_kg: int
    factors: Mapping[str, int] = field(default_factory=dict)
    site: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of(
        methodology: str,
        grain_kg: int,
        factors: Mapping[str, str],
        site: Mapping[str, int] | None = None,
    ) -> Parameters:
        """Make parameters of decimal texts such as ``0.42``.

        Raises:
            DomainError: FIELD_INVALID, for a text that is no decimal or has more than nine decimals.
        """
        exact = {
            name: parse_decimal(text, FACTOR_DECIMALS, field=f"methodology.{methodology}.{name}")
            for name, text in factors.items()
        }
        return Parameters(methodology, grain_kg, exact, dict(site or {}))

    def factor(self, name: str) -> int:
        """Give a factor in 10**-9 of its unit.

        Raises:
            DomainError: PARAMETER_NOT_SET, if the methodology version does not fix it.
        """
        if name not in self.factors:
            raise DomainError("PARAMETER_NOT_SET", parameter=f"methodology.{self.methodology}.{name}")
        return self.factors[name]

    def known_site(self, name: str) -> int:
        """Give a fact of the site.

        Raises:
            DomainError: EVIDENCE_CHAIN_BROKEN, if nobody has stated it.
        """
        if name not in self.site:
            raise DomainError("EVIDENCE_CHAIN_BROKEN", missing=name)
        return self.site[name]


@dataclass(frozen=True, slots=True)
class Result:
    """What a period of one asset yields.

    Args:
        plug_in: name of the plug-in.
        methodology: number of the methodology version.
        activity: activity that counted, in `activity_unit`.
        activity_unit: ``Wh``, ``person-m``, ``m`` or ``g``.
        grams: reduction of the period, rounded down; negative if emissions rose.
        carried_in_grams: what was carried from the period before.
        units_kg: what can be issued, a multiple of the grain.
        carried_out_grams: what is carried to the next period.
        debit_grams: the negative result of the period as a positive number; it is not carried.
        lines: each record with its working.
    """

    plug_in: str
    methodology: str
    activity: int
    activity_unit: str
    grams: int
    carried_in_grams: int
    units_kg: int
    carried_out_grams: int
    debit_grams: int
    lines: tuple[EvidenceLine, ...]

    @property
    def excluded(self) -> tuple[EvidenceLine, ...]:
        """Records that did not count, with the reason of each."""
        return tuple(line for line in self.lines if line.excluded)


class PlugIn(Protocol[Record_contra]):
    """A quantification plug-in; it reads nothing but what it is handed."""

    @property
    def name(self) -> str:
        """Name by which methodologies call it."""
        ...

    @property
    def activity_unit(self) -> str:
        """Unit in which it counts activity."""
        ...

    @property
    def factors_needed(self) -> frozenset[str]:
        """Names of the factors without which it refuses."""
        ...

    def quantify(self, records: Sequence[Record_contra], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction of a period of one asset.

        Args:
            records: metered activity of the period.
            parameters: what the methodology version fixes, and the site.
            carried_in: grams carried from the period before, 0 or more and below the grain.

        Raises:
            DomainError: PARAMETER_NOT_SET, a factor is unknown; FIELD_INVALID, an impossible value;
                DUPLICATE_KEY, a record occurs twice; METERING_MISSING, a reading is missing;
                ASSESSMENT_NOT_PASSED, the methodology does not apply.
        """
        ...


def settle(
    plug_in: PlugIn[Record_contra],
    parameters: Parameters,
    carried_in: int,
    *,
    exact: int,
    scale: int,
    activity: int,
    lines: Iterable[EvidenceLine],
) -> Result:
    """Round an exact sum once, add what was carried, and split off whole grains.

    Args:
        plug_in: the plug-in that computed.
        parameters: its parameters.
        carried_in: grams carried in.
        exact: reduction in 1/scale of a gram.
        scale: parts of a gram.
        activity: activity that counted.
        lines: working.
    """
    grain_grams = parameters.grain_kg * GRAMS_PER_KG
    require(parameters.grain_kg > 0, "a grain is positive")
    require(0 <= carried_in < grain_grams, "what is carried lies below one grain and is no debit")
    grams = exact // scale
    if grams < 0:
        issued_grams, carried_out, debit = 0, carried_in, -grams
    else:
        issued_grams, carried_out = floor_to_grain(carried_in + grams, grain_grams)
        debit = 0
    return Result(
        plug_in=plug_in.name,
        methodology=parameters.methodology,
        activity=activity,
        activity_unit=plug_in.activity_unit,
        grams=grams,
        carried_in_grams=carried_in,
        units_kg=issued_grams // GRAMS_PER_KG,
        carried_out_grams=carried_out,
        debit_grams=debit,
        lines=tuple(lines),
    )


def check_count(records: Sequence[object]) -> None:
    """Refuse an empty or oversize batch.

    Raises:
        DomainError: BATCH_EMPTY or BATCH_TOO_LARGE.
    """
    if not records:
        raise DomainError("BATCH_EMPTY")
    if len(records) > RECORDS_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=RECORDS_MAX, count=len(records))


def check_not_negative(pairs: Iterable[tuple[str, int]], name: str) -> None:
    """Refuse negative readings, naming the first by its reference.

    Raises:
        DomainError: FIELD_INVALID.
    """
    for reference, value in pairs:
        if value < 0:
            raise DomainError("FIELD_INVALID", field=name, detail=f"{reference}: {value}")


def check_unique(references: Sequence[str], what: str) -> None:
    """Refuse a reference that occurs twice.

    Raises:
        DomainError: DUPLICATE_KEY.
    """
    if len(set(references)) == len(references):
        return
    seen: set[str] = set()
    for reference in references:
        if reference in seen:
            raise DomainError("DUPLICATE_KEY", key=reference, where=what)
        seen.add(reference)


def check_apart(intervals: Iterable[tuple[str, date, date]], what: str) -> None:
    """Refuse half-open intervals of one key that overlap, or that end before they begin.

    Raises:
        DomainError: DUPLICATE_KEY or RANGE_REVERSED.
    """
    last_key, last_end = None, None
    for key, start, end in sorted(intervals):
        if start >= end:
            raise DomainError("RANGE_REVERSED", field="period", start=start, end=end)
        if key == last_key and last_end is not None and start < last_end:
            raise DomainError("DUPLICATE_KEY", key=f"{key} {start.isoformat()}", where=what)
        last_key, last_end = key, end
