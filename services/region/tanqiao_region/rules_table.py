"""``python -m tanqiao_region.rules_table``: every rule of the texts, what carries it, and its cases.

The index (a CSV of id, article, mark and the refusals that the digest names) says which rules there are; the
packs say which of them they carry; the case files say how each is tried. With ``--require-complete`` the
command fails where a MUST row in scope that names a refusal has no refusing case, or another has no accepting
one, where no function carries it, and where any case gives another answer than it states.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tanqiao_region.domain.rules.pack import DATA_ALONE
from tanqiao_region.rulepack_cases import CASE_NETWORK, CaseResult, run_cases
from tanqiao_region.rulepack_loader import LoadedPack, RulePackLibrary

INDEX: Final = Path("tests/rules/rule_index.csv")
LATER: Final = frozenset({"SZ-16", "SZ-17", "SZ-18", "SZ-19", "SH-16", "SH-21", "SH-24", "SP-12", "SP-16"})
"""Points, mall, carbon accounts and credit: they keep their place and follow in a later release."""
COLUMNS: Final = ("rule", "article", "mark", "carried by", "accepting", "refusing", "status")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A rule of the digest."""

    rule_id: str
    article: str
    mark: str
    refusals: tuple[str, ...]

    @property
    def later(self) -> bool:
        """Whether the rule follows in a later release."""
        return self.rule_id.rstrip("abcdefgh") in LATER


@dataclass(frozen=True, slots=True)
class TableRow:
    """A rule with what carries it and how it is tried."""

    index: IndexRow
    carried_by: str
    structural: bool
    accepting: int
    refusing: int

    @property
    def status(self) -> str:
        """``carried``, ``not yet``, ``later``, or ``-`` where no software carries it."""
        if self.carried_by:
            return "carried"
        if self.index.mark == "OUT":
            return "-"
        return "later" if self.index.later else "not yet"

    @property
    def gap(self) -> str:
        """What is missing for a complete MUST row; empty if nothing is."""
        if self.index.mark != "MUST" or self.index.later:
            return ""
        if not self.carried_by:
            return "not carried"
        if self.carried_by.endswith(DATA_ALONE):
            return "no function asks it"
        if self.index.refusals and not self.refusing and not self.structural:
            return "no refusing case"
        if not self.index.refusals and not self.accepting and not self.structural:
            return "no accepting case"
        return ""


def read_index(path: Path) -> tuple[IndexRow, ...]:
    """Read the index of rules."""
    with path.open(encoding="utf-8", newline="") as stream:
        return tuple(
            IndexRow(row["id"], row["article"], row["mark"], tuple(row["refusals"].split()))
            for row in csv.DictReader(stream)
        )


def build_table(
    index: Iterable[IndexRow], packs: Iterable[LoadedPack], results: Iterable[CaseResult]
) -> tuple[TableRow, ...]:
    """Join the index with what the packs carry and with the cases."""
    carried: dict[str, str] = {}
    structural: set[str] = set()
    for loaded in packs:
        structural.update(check.rule_id for check in loaded.pack.structurals)
        for entry in loaded.pack.entries():
            carried[entry.rule_id] = f"{loaded.pack.identity.pack_id}: {entry.carried_by}"
    accepting: Counter[str] = Counter()
    refusing: Counter[str] = Counter()
    for result in results:
        (refusing if result.case.refuses else accepting)[result.case.rule_id] += 1
    return tuple(
        TableRow(
            row,
            carried.get(row.rule_id, ""),
            row.rule_id in structural,
            accepting[row.rule_id],
            refusing[row.rule_id],
        )
        for row in index
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; give 1 if something is asked for that does not hold."""
    parser = argparse.ArgumentParser(prog="tanqiao_region.rules_table", description=__doc__)
    parser.add_argument("--index", type=Path, default=INDEX, help="CSV of id, article, mark, refusals")
    parser.add_argument("--packs", type=Path, help="directory with further packs")
    parser.add_argument("--require-complete", action="store_true", help="fail where a MUST row has a gap")
    options = parser.parse_args(arguments)
    library = RulePackLibrary.discover(network_id=CASE_NETWORK, extra_directory=options.packs)
    results = [result for loaded in library.packs for result in run_cases(loaded.directory)]
    table = build_table(read_index(options.index), library.packs, results)
    sys.stdout.write(render(table))
    faults = [
        f"{result.case.rule_id} {result.case.name}: {result.fault}" for result in results if result.fault
    ]
    gaps = [f"{row.index.rule_id}: {row.gap}" for row in table if row.gap]
    sys.stdout.write(_summary(table, len(results)))
    for line in [*faults, *gaps]:
        sys.stdout.write(f"  {line}\n")
    return 1 if faults or (gaps and options.require_complete) else 0


def render(table: Iterable[TableRow]) -> str:
    """Write the table as columns of plain text."""
    lines = [COLUMNS]
    lines.extend(
        (
            row.index.rule_id,
            row.index.article,
            row.index.mark,
            row.carried_by or "-",
            str(row.accepting) if not row.structural else "pack data",
            str(row.refusing) if not row.structural else "pack data",
            row.status,
        )
        for row in table
    )
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _summary(table: Iterable[TableRow], cases: int) -> str:
    must = [row for row in table if row.index.mark == "MUST" and not row.index.later]
    carried = sum(1 for row in must if row.carried_by)
    gaps = sum(1 for row in must if row.gap)
    return f"\nMUST rows in scope: {len(must)}, carried: {carried}, with gaps: {gaps}; cases: {cases}\n"


if __name__ == "__main__":
    sys.exit(main())
