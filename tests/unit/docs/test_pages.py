"""Pages written by hand name only what exists: tests, reasons, files and commands."""

from __future__ import annotations

import re

from tanqiao.kernel.reasons import CATALOGUE
from tanqiao_bridge.storage.claim_tables import metadata as bridge_tables
from tanqiao_region.storage.tables import metadata as region_tables
from tests.unit.layout.modules import ROOT
from tests.unit.layout.test_documents import table_rows

DOCS = ROOT / "docs"
TEST_NAME = re.compile(r"`(test_\w+)`")
OUTCOMES = {"works", "waits", "refused"}
ROWS_MIN = 20
PROTOCOL_LINES_MIN = 60
CAPITALS = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")


def names_of_tests() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_every_row_about_a_bridge_that_is_down_names_a_test_that_exists() -> None:
    text = (DOCS / "when-the-bridge-is-down.md").read_text(encoding="utf-8")
    rows = [*table_rows(text, columns=4), *table_rows(text, columns=3)]
    assert len(rows) >= ROWS_MIN
    known = names_of_tests()
    for row in rows:
        proofs = TEST_NAME.findall(row[-1])
        assert proofs, f"nothing proves {row[0]!r}"
        assert set(proofs) <= known, f"{row[0]!r}: {set(proofs) - known} do not exist"


def test_every_test_about_a_bridge_that_is_down_has_its_row() -> None:
    path = ROOT / "tests" / "contract" / "region_registers" / "test_when_the_bridge_is_down.py"
    names = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    page = (DOCS / "when-the-bridge-is-down.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []


def test_each_operation_works_waits_or_is_refused_and_a_refusal_says_why() -> None:
    text = (DOCS / "when-the-bridge-is-down.md").read_text(encoding="utf-8")
    for operation, outcome, reason, _ in table_rows(text, columns=4):
        assert outcome in OUTCOMES, operation
        if outcome == "refused":
            assert "PEER_UNREACHABLE" in reason, operation


def test_the_reasons_that_the_pages_name_are_in_the_catalogue() -> None:
    text = (DOCS / "reasons.md").read_text(encoding="utf-8")
    listed = {f"`{symbol}`" for symbol in CATALOGUE}
    for name in ("when-the-bridge-is-down.md", "api-from-another-language.md", "protocol.md", "storage.md"):
        page = (DOCS / name).read_text(encoding="utf-8")
        other = set(re.findall(r"`(TANQIAO_\w+)`", page))
        named = {symbol for symbol in CAPITALS.findall(page) if symbol not in other}
        unknown = {symbol for symbol in named if f"`{symbol}`" not in listed}
        assert not unknown, f"{name} names {unknown}"
    assert all(symbol in text for symbol in listed)


def test_the_tables_that_the_page_of_the_protocol_names_exist_at_the_party_that_it_names() -> None:
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    rows = table_rows(text, columns=3)
    assert len(rows) >= 9
    of_party = {"bridge": set(bridge_tables.tables)}
    for party, event, tables in rows:
        known = of_party.get(party, set(region_tables.tables))
        named = set(re.findall(r"`([a-z_]+)`", tables))
        if party == "whoever is lied to":
            known = set(region_tables.tables) | set(bridge_tables.tables)
        assert named, event
        assert named <= known, f"{party}, {event}: {named - known}"


def test_hand_written_pages_link_to_the_generated_ones() -> None:
    for name, target in (("protocol.md", "protocol-states.md"), ("api-from-another-language.md", "api.md")):
        assert f"]({target})" in (DOCS / name).read_text(encoding="utf-8")


def test_every_line_of_the_protocol_names_code_and_tests_that_exist() -> None:
    text = (DOCS / "protocol-read.md").read_text(encoding="utf-8")
    rows = table_rows(text, columns=3)
    assert len(rows) >= PROTOCOL_LINES_MIN
    known = names_of_tests()
    for line, where, proof in rows:
        files = re.findall(r"`([\w/.-]+\.py)`", where)
        assert files, f"nothing does {line!r}"
        assert [one for one in files if not (ROOT / one).is_file()] == [], line
        names = TEST_NAME.findall(proof)
        files = re.findall(r"`(test_\w+\.py)`", proof)
        assert names or files, f"nothing proves {line!r}"
        assert set(names) <= known, f"{line!r}: {set(names) - known} do not exist"
        assert all(any((ROOT / "tests").rglob(one)) for one in files), line
