"""Afforestation and mangroves: change of stock between two monitoring dates, less leakage and discount.

ER = (stock at the end - stock at the start - leakage) * (1 - discount for non-permanence). The form is
general knowledge (DOMAIN section 7); the discount belongs to the methodology version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification.base import (
    FACTOR_SCALE,
    EvidenceLine,
    Parameters,
    Result,
    check_apart,
    check_count,
    settle,
)


class StratumChange(NamedTuple):
    """One stratum of a parcel between two monitoring dates.

    Args:
        stratum: number of parcel and stratum.
        start: first monitoring date.
        end: second monitoring date.
        stock_start_g: stock at the first date, grams of CO2.
        stock_end_g: stock at the second date, grams of CO2.
        leakage_g: emissions caused elsewhere, grams of CO2e.
    """

    stratum: str
    start: date
    end: date
    stock_start_g: int
    stock_end_g: int
    leakage_g: int


class StockChange:
    """Growth of a carbon stock; a loss is a debit and is not discounted."""

    name: Final = "stock_change"
    activity_unit: Final = "g"
    factors_needed: Final = frozenset({"non_permanence_discount"})

    def quantify(self, records: Sequence[StratumChange], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        Raises:
            DomainError: PARAMETER_INVALID too, if the discount does not lie between 0 and 1.
        """
        discount = parameters.factor("non_permanence_discount")
        if not 0 <= discount <= FACTOR_SCALE:
            raise DomainError(
                "PARAMETER_INVALID",
                parameter=f"methodology.{parameters.methodology}.non_permanence_discount",
                value=discount,
                allowed="between 0 and 1",
            )
        check_count(records)
        check_apart(((record.stratum, record.start, record.end) for record in records), "StratumChange")
        lines: list[EvidenceLine] = []
        change_g = 0
        for stratum, start, end, stock_start_g, stock_end_g, leakage_g in records:
            if min(stock_start_g, stock_end_g, leakage_g) < 0:
                raise DomainError("FIELD_INVALID", field="StratumChange", detail=f"{stratum} {start}")
            net_g = stock_end_g - stock_start_g - leakage_g
            change_g += net_g
            lines.append(EvidenceLine(f"{stratum} {start}/{end}", net_g, net_g))
        kept = FACTOR_SCALE - discount if change_g > 0 else FACTOR_SCALE
        return settle(
            self,
            parameters,
            carried_in,
            exact=change_g * kept,
            scale=FACTOR_SCALE,
            activity=change_g,
            lines=lines,
        )
