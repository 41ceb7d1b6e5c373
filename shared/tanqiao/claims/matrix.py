"""The matrix of CLAIMS section 2 as dated, versioned data: a row per applicant, a column per incumbent.

A cell names the test that is made, what it answers where it bites, and the article behind it. Cells without
an article cite a ``POLICY-`` code. The rows that rest on the coordination notice (国能综通新能〔2024〕124号)
end with its validity (`Parameters.coordination_notice_valid`) and answer HOLD outside it.
A published edition never changes: a change is a new edition with a later `in_force_from`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tanqiao.claims.model import Attribute, Claim, GecStateName, Grain, Programme, VerdictKind
from tanqiao.claims.parameters import DEFAULT_PARAMETERS, Parameters
from tanqiao.claims.personal import BUCKET_GRAINS, FAMILIES
from tanqiao.kernel.errors import require

FOREIGN_PROGRAMMES: Final = frozenset({Programme.VCS, Programme.GS, Programme.CDM})
REGIONAL_PROGRAMMES: Final = frozenset({Programme.SZ_PHCER, Programme.SH_SHCER, Programme.REGIONAL})
"""Regional programmes that issue units; Yunnan's reserve issues nothing and is a column of its own."""

SOLD_STATES: Final = frozenset({GecStateName.TRANSFERRED, GecStateName.REDEEMED})
UNSOLD_STATES: Final = frozenset({GecStateName.ISSUED, GecStateName.LISTED, GecStateName.UNFROZEN})
DEEP_SEA_WIND_KIND: Final = "offshore_wind"
CONCENTRATED_SOLAR_KIND: Final = "csp"


class Column(StrEnum):
    """Kinds of incumbents."""

    CCER = "ccer"
    GEC_UNTRADED = "gec_untraded"
    GEC_SOLD = "gec_sold"
    FOREIGN = "foreign"
    SAME_REGION = "same_region"
    OTHER_REGION = "other_region"
    RESERVE = "reserve"
    ETS_SITE = "ets_site"


class CellTest(StrEnum):
    """What a cell asks.

    ANY_TIME: the asset, whatever the period (L1). INTERVAL: periods, shares and grain (L2).
    CERTIFICATE: the state of a certificate that meets the period. NOTICE: the coordination notice (L3).
    CCER_PROJECT: another project on the asset, or another instalment of one's own. DUPLICATE: a second
    entry. MEETS: same asset and attribute, periods that meet. SOLD_ONCE: certificates and green power of
    one period together against the meter. SITE: the site under allowance management. NOTHING: no test.
    """

    ANY_TIME = "any_time"
    INTERVAL = "interval"
    CERTIFICATE = "certificate"
    NOTICE = "notice"
    CCER_PROJECT = "ccer_project"
    DUPLICATE = "duplicate"
    MEETS = "meets"
    SOLD_ONCE = "sold_once"
    SITE = "site"
    PRESENT = "present"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: the test, the answer where it bites (ALLOW = flagged only), and the articles.

    `subject_too`: a live claim of the same subject on another asset is looked at as well (SH-14).
    `withdrawn_bars`: an application that was withdrawn or rejected counts (SZ-22 knows no end of 已申报).
    """

    test: CellTest
    answer: VerdictKind
    article: str
    also_cited: tuple[str, ...] = ()
    subject_too: bool = False
    withdrawn_bars: bool = False


Row = Mapping[Column, Cell]

_BLOCK: Final = VerdictKind.BLOCK
_HOLD: Final = VerdictKind.HOLD
_FLAG: Final = VerdictKind.ALLOW


def _row(cells: dict[Column, Cell]) -> Row:
    require(set(cells) == set(Column), "a row of the matrix has a cell for every column")
    return MappingProxyType(cells)


_RESERVE_IS_SHOWN: Final = Cell(CellTest.PRESENT, _FLAG, "YN-3")
_NO_TEST: Final = Cell(CellTest.NOTHING, _FLAG, "POLICY-L2")

_SHENZHEN: Final = _row(
    {
        Column.CCER: Cell(CellTest.ANY_TIME, _BLOCK, "SZ-22", withdrawn_bars=True),
        Column.GEC_UNTRADED: Cell(CellTest.CERTIFICATE, _HOLD, "SZ-22"),
        Column.GEC_SOLD: Cell(CellTest.ANY_TIME, _BLOCK, "SZ-22"),
        Column.FOREIGN: Cell(CellTest.ANY_TIME, _BLOCK, "SZ-22", withdrawn_bars=True),
        Column.SAME_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.OTHER_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2", ("SZ-22",)),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: Cell(CellTest.SITE, _HOLD, "SZ-22"),
    }
)
_SHANGHAI: Final = _row(
    {
        Column.CCER: Cell(CellTest.ANY_TIME, _BLOCK, "SH-14", subject_too=True),
        Column.GEC_UNTRADED: Cell(CellTest.CERTIFICATE, _HOLD, "SH-14"),
        Column.GEC_SOLD: Cell(CellTest.ANY_TIME, _BLOCK, "SH-14", subject_too=True),
        Column.FOREIGN: Cell(CellTest.ANY_TIME, _BLOCK, "SH-14", subject_too=True),
        Column.SAME_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.OTHER_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2", ("SH-14",)),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: Cell(CellTest.SITE, _HOLD, "SH-14"),
    }
)
# A region whose own text is not loaded is judged by the bridge's policy alone, at interval level.
_REGIONAL: Final = _row(
    {
        Column.CCER: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.GEC_UNTRADED: Cell(CellTest.CERTIFICATE, _HOLD, "POLICY-L2"),
        Column.GEC_SOLD: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.FOREIGN: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.SAME_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.OTHER_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: Cell(CellTest.SITE, _HOLD, "POLICY-L2"),
    }
)
_YUNNAN: Final = _row(
    {
        Column.CCER: _RESERVE_IS_SHOWN,
        Column.GEC_UNTRADED: _RESERVE_IS_SHOWN,
        Column.GEC_SOLD: _RESERVE_IS_SHOWN,
        Column.FOREIGN: _RESERVE_IS_SHOWN,
        Column.SAME_REGION: _RESERVE_IS_SHOWN,
        Column.OTHER_REGION: _RESERVE_IS_SHOWN,
        Column.RESERVE: Cell(CellTest.DUPLICATE, _HOLD, "POLICY-RESERVE-DUPLICATE", ("YN-8",)),
        Column.ETS_SITE: Cell(CellTest.SITE, _FLAG, "YN-3"),
    }
)
_CCER: Final = _row(
    {
        Column.CCER: Cell(CellTest.CCER_PROJECT, _BLOCK, "CCER-48"),
        Column.GEC_UNTRADED: Cell(CellTest.NOTICE, _BLOCK, "N124-2"),
        Column.GEC_SOLD: Cell(CellTest.NOTICE, _BLOCK, "N124-2"),
        Column.FOREIGN: Cell(CellTest.ANY_TIME, _BLOCK, "CCER-48"),
        Column.SAME_REGION: Cell(CellTest.ANY_TIME, _BLOCK, "CCER-48"),
        Column.OTHER_REGION: Cell(CellTest.ANY_TIME, _BLOCK, "CCER-48"),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: Cell(CellTest.SITE, _BLOCK, "CCER-10"),
    }
)
_SALE: Final = _row(
    {
        # A freeze is read from the certificate's own state; a project that froze nothing is only shown.
        Column.CCER: Cell(CellTest.MEETS, _FLAG, "N124-2"),
        Column.GEC_UNTRADED: Cell(CellTest.NOTHING, _FLAG, "GEC-ONCE"),
        Column.GEC_SOLD: Cell(CellTest.SOLD_ONCE, _BLOCK, "GEC-ONCE"),
        Column.FOREIGN: Cell(CellTest.MEETS, _HOLD, "POLICY-GEC-FOREIGN"),
        Column.SAME_REGION: Cell(CellTest.MEETS, _FLAG, "POLICY-REPORT"),
        Column.OTHER_REGION: Cell(CellTest.MEETS, _FLAG, "POLICY-REPORT"),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: Cell(CellTest.SITE, _FLAG, "GEC-ONCE"),
    }
)
_FOREIGN: Final = _row(
    {
        Column.CCER: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.GEC_UNTRADED: Cell(CellTest.MEETS, _FLAG, "POLICY-GEC-FOREIGN"),
        Column.GEC_SOLD: Cell(CellTest.MEETS, _HOLD, "POLICY-GEC-FOREIGN"),
        Column.FOREIGN: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.SAME_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.OTHER_REGION: Cell(CellTest.INTERVAL, _BLOCK, "POLICY-L2"),
        Column.RESERVE: _RESERVE_IS_SHOWN,
        Column.ETS_SITE: _NO_TEST,
    }
)

_WIDENED: Final[Mapping[Programme, Cell]] = MappingProxyType(
    {
        Programme.SZ_PHCER: Cell(CellTest.ANY_TIME, _BLOCK, "SZ-22"),
        Programme.SH_SHCER: Cell(CellTest.ANY_TIME, _BLOCK, "SH-14"),
    }
)


@dataclass(frozen=True, slots=True)
class MatrixEdition:
    """One published edition: rows by applicant, the rule named where nothing was found, the parameters."""

    version: str
    in_force_from: date
    rows: Mapping[Programme, Row]
    widened_other_region: Mapping[Programme, Cell]
    """Cells for another region's claims where `Parameters.other_region_at_project_level` is set."""
    default_articles: Mapping[Programme, str]
    parameters: Parameters
    bucket_grains: Mapping[str, Grain]
    """Grain of the buckets of persons and vehicles by family (`tanqiao.claims.personal`)."""


EDITIONS: Final = (
    MatrixEdition(
        version="2026-11-01/1",
        in_force_from=date.min,
        rows=MappingProxyType(
            {
                Programme.SZ_PHCER: _SHENZHEN,
                Programme.SH_SHCER: _SHANGHAI,
                Programme.REGIONAL: _REGIONAL,
                Programme.YN_RESERVE: _YUNNAN,
                Programme.CCER: _CCER,
                Programme.GEC: _SALE,
                Programme.GREEN_POWER: _SALE,
                Programme.VCS: _FOREIGN,
                Programme.GS: _FOREIGN,
                Programme.CDM: _FOREIGN,
            }
        ),
        widened_other_region=_WIDENED,
        default_articles=MappingProxyType(
            {
                Programme.SZ_PHCER: "SZ-22",
                Programme.SH_SHCER: "SH-14",
                Programme.REGIONAL: "POLICY-L2",
                Programme.YN_RESERVE: "YN-3",
                Programme.CCER: "CCER-48",
                Programme.GEC: "GEC-ONCE",
                Programme.GREEN_POWER: "GEC-ONCE",
                Programme.VCS: "POLICY-L2",
                Programme.GS: "POLICY-L2",
                Programme.CDM: "POLICY-L2",
            }
        ),
        parameters=DEFAULT_PARAMETERS,
        bucket_grains=BUCKET_GRAINS,
    ),
)
"""Editions in the order of their first day."""


def edition_in_force(day: date) -> MatrixEdition:
    """Give the edition for decisions of the day; the first edition reaches back without end."""
    for edition in reversed(EDITIONS):
        if edition.in_force_from <= day:
            return edition
    return EDITIONS[0]


def bucket_grain(attribute: Attribute, day: date) -> Grain:
    """Give the grain of the buckets of a claim to the attribute whose period begins on the day."""
    return edition_in_force(day).bucket_grains[FAMILIES[attribute]]


def column_of(applicant: Claim, incumbent: Claim) -> Column:
    """Give the column in which the incumbent stands for this applicant.

    A certificate is sold iff it is tradable and TRANSFERRED or REDEEMED; every other state, and every state
    of one that cannot be traded, is untraded (CLAIMS section 4). Green power counts as sold.
    """
    programme = incumbent.programme
    fixed = _FIXED_COLUMNS.get(programme)
    if fixed is not None:
        return fixed
    if programme is Programme.GEC:
        state = incumbent.gec
        sold = state is not None and state.tradable and state.state in SOLD_STATES
        return Column.GEC_SOLD if sold else Column.GEC_UNTRADED
    same = programme is applicant.programme and (
        programme is not Programme.REGIONAL or incumbent.region_code == applicant.region_code
    )
    return Column.SAME_REGION if same else Column.OTHER_REGION


_FIXED_COLUMNS: Final[Mapping[Programme, Column]] = MappingProxyType(
    {
        Programme.CCER: Column.CCER,
        Programme.GREEN_POWER: Column.GEC_SOLD,
        Programme.VCS: Column.FOREIGN,
        Programme.GS: Column.FOREIGN,
        Programme.CDM: Column.FOREIGN,
        Programme.YN_RESERVE: Column.RESERVE,
    }
)
