"""Who and what appears in the story. Every party, plant, code and quantity here is invented 虚构.

Each run has its own: the number of the run stands in every name and code, so that the story can be told
again on top of what is there. Filing codes have the 17 characters of a real one and say that they are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from tanqiao.cli.parse import INVENTED_MARK
from tanqiao.kernel.identity import organisation_code_check_character, uscc_check_character

INVENTED: Final = INVENTED_MARK
RUNS_MAX: Final = 999_999
METHODOLOGY_SHANGHAI: Final = "SHCER01010012024I"
METHODOLOGY_SHENZHEN: Final = "SZ-DEMO-PV-01"
QUANTIFICATION: Final = "distributed_pv"
PERIOD_START: Final = date(2026, 1, 1)
PERIOD_END: Final = date(2026, 3, 1)
CREDITING_END: Final = date(2036, 1, 1)
CONNECTED: Final = date(2025, 6, 18)
CAPACITY_KW: Final = 950
MONTHS: Final = (("2026-01", 71_234_567, 12_345_678), ("2026-02", 58_901_234, 9_876_543))
"""Metered month, Wh fed into the grid, Wh used on the site."""
BUYER_KG: Final = 15_000
RETIRED_KG: Final = 6_000
OFFSHORE_DISTANCE_MM: Final = 45_000_000
CERTIFICATES_MWH: Final = 60
"""Certificates of each month of the wind farm."""
CREDITED_MWH: Final = 40
"""Electricity of January for which reductions are registered; its certificates are cancelled."""
RUSH_COUNT: Final = 200
RUSH_KG: Final = 100
"""What each of the concurrent transfers moves."""


@dataclass(frozen=True, slots=True)
class Plant:
    """An invented plant with its invented owner."""

    name: str
    owner: str
    filing_code: str
    uscc: str
    region_code: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything that one run invents."""

    run: int

    @property
    def rooftop(self) -> Plant:
        """The plant whose reduction becomes units; it stands in Shenzhen, its owner is of Shanghai."""
        return self._plant(1, "申深屋顶光伏", "申城绿电", "440305")

    @property
    def applied_elsewhere(self) -> Plant:
        """A plant that was applied for under CCER."""
        return self._plant(2, "南山已申报光伏", "南山绿能", "440305")

    @property
    def certificates_sold(self) -> Plant:
        """A plant whose certificates were sold."""
        return self._plant(3, "临港已售证光伏", "临港绿能", "310115")

    @property
    def offshore_wind(self) -> Plant:
        """A wind farm far off the shore, which becomes a CCER project."""
        return self._plant(4, "甲辰海上风电", "甲辰海风", "440000")

    @property
    def buyer(self) -> str:
        """The buyer in Shenzhen."""
        return f"鹏城会展演示公司 {self.run:03d}{INVENTED}"

    @property
    def event(self) -> str:
        """What the buyer retires units for."""
        return f"鹏城绿色出行论坛 第{self.run}届{INVENTED}"

    @property
    def project_id(self) -> str:
        """The Shanghai project."""
        return f"DEMO-SH-{self.run:06d}"

    def request_id(self, step: str, number: int = 0) -> str:
        """Give a request id of this run."""
        return f"demo-{self.run:06d}-{step}-{number}"

    def _plant(self, number: int, name: str, owner: str, region_code: str) -> Plant:
        return Plant(
            f"{name} {self.run:03d}{INVENTED}",
            f"{owner} {self.run:03d}{INVENTED}",
            invented_filing_code(self.run, number),
            invented_uscc(self.run, number),
            region_code,
        )


def invented_filing_code(run: int, number: int) -> str:
    """Give a filing code of 17 characters that no registry has given out: it says XUGOU, 虚构."""
    return f"DEMO{run:06d}{number:02d}XUGOU"


def invented_uscc(run: int, number: int) -> str:
    """Give a credit code with right check characters in a division that does not exist (999900)."""
    organisation = f"{run:06d}{number:02d}"
    organisation += organisation_code_check_character(organisation)
    first = f"91999900{organisation}"
    return first + uscc_check_character(first)
