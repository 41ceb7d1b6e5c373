"""Names are read into what is particular, what marks a phase, and what is general."""

from __future__ import annotations

import pytest

from tanqiao.matching.names import parse_name, technology_of


def test_general_words_capacity_and_country_carry_nothing() -> None:
    plain = parse_name("Hongshan Qingtan")
    long = parse_name("Hongshan Qingtan 49.5MW Wind Power Project in Gansu Province P.R. China")
    assert long.words == plain.words == ("hongshan", "qingtan")
    assert long.marks == ()
    assert long.provinces == {"62"}
    assert long.technology == "wind"


@pytest.mark.parametrize(
    "name",
    [
        "Hongshan Wind Farm Phase II",
        "Hongshan Wind Farm 2nd Phase Project",
        "Hongshan Second Phase 49.5 MW",
        "Hongshan Phase 2",
        "Hongshan Erqi",
        "Hongshan Ⅱ期",
        "红山风电场二期",
        "红山风电场第2期项目",
    ],
)
def test_a_second_phase_is_the_same_mark_in_every_writing(name: str) -> None:
    parts = parse_name(name)
    assert parts.marks == ("2",)
    assert parts.words == ("hongshan",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Hongshan Phase I", "Hongshan Phase II"),
        ("Hongshan 1A", "Hongshan 1B"),
        ("Hongshan East Wind Farm", "Hongshan West Wind Farm"),
        ("红山水电站一级", "红山水电站二级"),
    ],
)
def test_neighbours_differ_by_their_mark_alone(first: str, second: str) -> None:
    assert parse_name(first).words == parse_name(second).words
    assert parse_name(first).marks != parse_name(second).marks


def test_chinese_and_english_names_meet_in_pinyin() -> None:
    chinese = parse_name("吉林红山青滩水电站")
    english = parse_name("Jilin Hongshan Qingtan Hydropower Station")
    assert chinese.compact == english.compact == "hongshanqingtan"
    assert chinese.provinces == english.provinces == {"22"}
    assert chinese.technology == english.technology == "hydro"


def test_apostrophes_between_syllables_are_left_out() -> None:
    assert parse_name("Qing'an Hydropower").words == parse_name("Qingan Hydro").words


def test_a_name_of_general_words_only_keeps_its_province() -> None:
    assert parse_name("Gansu Wind Power Project").words == ("gansu",)
    assert parse_name("").words == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Coal Mine Methane", "coal mine methane"),
        ("Landfill gas", "waste"),
        ("Natural Gas", "gas"),
        ("光伏", "solar"),
        ("Coal", "coal"),
        ("efficiency", None),
    ],
)
def test_kinds_are_told_apart(text: str, kind: str | None) -> None:
    assert technology_of(text) == kind
