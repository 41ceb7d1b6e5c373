from __future__ import annotations

import ast
import csv
import dataclasses
import re
from pathlib import Path

import pytest

from tanqiao.kernel import DomainError, InvariantBroken, Reason, Retry
from tanqiao.kernel.reasons import CATALOGUE, FAMILY_NAMES, REASONS_BY_NUMBER, build_catalogue

REPOSITORY = Path(__file__).resolve().parents[3]
PUBLISHED = Path(__file__).with_name("published_reasons.csv")
SAMPLE = Reason(2999, "SAMPLE", Retry.NEVER, "INTERNAL", "样例{x}。", "Sample {x}.")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=lambda reason: reason.symbol)
def test_every_reason_speaks_both_languages_and_names_the_same_values_in_both(reason: Reason) -> None:
    assert CHINESE.search(reason.zh)
    assert reason.zh.endswith("。")
    assert not CHINESE.search(reason.en)
    assert reason.en[0].isupper() or reason.en[0] in "{“"
    assert reason.en.endswith(".")
    values = {name: f"<{name}>" for name in reason.placeholders if name not in {"field", "article"}}
    field = "<field>" if "field" in reason.placeholders else None
    refusal = DomainError(reason.symbol, field=field, **values)
    for name in reason.placeholders:
        assert f"<{name}>" in refusal.sentence("zh")
        assert f"<{name}>" in refusal.sentence("en")


def test_every_family_of_the_protocol_has_reasons_and_numbers_lie_in_their_family() -> None:
    assert {reason.family for reason in CATALOGUE.values()} == set(FAMILY_NAMES)
    assert all(reason.number // 1000 == reason.family for reason in CATALOGUE.values())
    assert len(REASONS_BY_NUMBER) == len(CATALOGUE)


def test_a_published_reason_keeps_its_number_symbol_and_retry_class_for_ever() -> None:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        published = [(int(row["number"]), row["symbol"], row["retry"]) for row in csv.DictReader(file)]
    assert published
    assert (
        len({number for number, _, _ in published})
        == len({symbol for _, symbol, _ in published})
        == len(published)
    )
    for number, symbol, retry in published:
        assert symbol in CATALOGUE, f"{symbol} was published and must stay"
        assert (CATALOGUE[symbol].number, CATALOGUE[symbol].retry.value) == (number, retry)


def test_a_number_used_twice_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="number 2999 is used twice"):
        build_catalogue({2: [SAMPLE, dataclasses.replace(SAMPLE, symbol="OTHER")]})


def test_a_symbol_used_twice_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="symbol SAMPLE is used twice"):
        build_catalogue({2: [SAMPLE, dataclasses.replace(SAMPLE, number=2998)]})


def test_a_reason_outside_its_family_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="not of family 3"):
        build_catalogue({3: [SAMPLE]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 10_001}, "no family"),
        ({"number": 999}, "no family"),
        ({"number": 2000}, "start at 1"),
        ({"symbol": "lower_case"}, "is not a symbol"),
        ({"symbol": "DOUBLE__BAR"}, "is not a symbol"),
        ({"grpc_status": "NOT_A_STATUS"}, "no status"),
        ({"zh": " "}, "is empty"),
        ({"en": ""}, "is empty"),
        ({"en": "Sample {y}."}, "differ"),
        ({"zh": "样例{a b}。", "en": "Sample {a b}."}, "is not a name"),
    ],
)
def test_a_row_that_cannot_be_published_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvariantBroken, match=message):
        dataclasses.replace(SAMPLE, **change)  # type: ignore[arg-type]


def test_only_same_bytes_and_wait_are_transient() -> None:
    assert {retry for retry in Retry if retry.transient} == {Retry.SAME_BYTES, Retry.WAIT}


def test_a_row_of_the_published_catalogue_carries_every_column() -> None:
    assert SAMPLE.as_row() == {
        "number": 2999,
        "symbol": "SAMPLE",
        "severity": "error",
        "retry": "never",
        "grpc_status": "INTERNAL",
        "zh": "样例{x}。",
        "en": "Sample {x}.",
        "article": "",
    }


def _refusals_in(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if name == "DomainError" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.append((first.value, node.lineno))
    return found


def test_every_symbol_that_the_source_refuses_with_is_in_the_catalogue() -> None:
    unknown = []
    for folder in ("shared", "services"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "api" not in path.relative_to(REPOSITORY).parts:
                unknown += [
                    f"{path.name}:{line} {symbol}"
                    for symbol, line in _refusals_in(path)
                    if symbol not in CATALOGUE
                ]
    assert not unknown
