"""Retirement purposes against unit classes, cell by cell (RULES section 8), written by hand from the digest.

Y allowed by the rule cited; A as far as an agreement names it; P as far as a dated parameter says; C as the
class of the lot behind it; N refused; a blank cell does not apply and is refused.
"""

from __future__ import annotations

import pytest

from tanqiao_region.domain.rules.purposes import Answer
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

ANSWERS = {
    "Y": Answer.ALLOWED,
    "A": Answer.AGREEMENT,
    "P": Answer.PARAMETER,
    "C": Answer.BY_CLASS,
    "N": Answer.REFUSED,
}
PURPOSES = (
    "compliance",
    "operations_neutrality",
    "event_neutrality",
    "donation",
    "ecological_damage",
    "voluntary",
    "personal_neutrality",
)
MATRIX = {  # one letter per purpose, in the order above
    ("sz", "native"): "PYYP YY",
    ("sz", "foreign"): "PAAA AA",
    ("sh", "class:I"): "PYYYYYY",
    ("sh", "class:II"): "NYYYYYY",
    ("sh", "reconverted"): "CYYYYY ",
    ("sh", "foreign"): "NAAAAAA",
    ("yn", "foreign"): "NAAA AA",
}
PACKS = {name: load_pack(SHIPPED_PACKS / f"{name}_draft", network_id="test-1") for name in ("sz", "sh", "yn")}
CELLS = [
    (name, kind, purpose, letter)
    for (name, kind), row in MATRIX.items()
    for purpose, letter in zip(PURPOSES, row, strict=True)
]


@pytest.mark.parametrize(
    ("name", "kind", "purpose", "letter"), CELLS, ids=["-".join(cell[:3]) for cell in CELLS]
)
def test_a_unit_may_serve_a_purpose_or_not(name: str, kind: str, purpose: str, letter: str) -> None:
    cell = PACKS[name].data.purposes.cells.get((purpose, kind))
    assert (cell.answer if cell is not None else None) == ANSWERS.get(letter)


@pytest.mark.parametrize("name", sorted(PACKS))
def test_no_pack_has_a_cell_beyond_the_matrix(name: str) -> None:
    listed = {(purpose, kind) for pack, kind, purpose, letter in CELLS if pack == name and letter != " "}
    assert set(PACKS[name].data.purposes.cells) == listed


def test_class_two_names_its_own_reason() -> None:
    assert PACKS["sh"].data.purposes.cells["compliance", "class:II"].reason == "CLASS_II_NOT_FOR_COMPLIANCE"
