"""The engine: precedence, notes, dated parameters, identity, articles, notices, state machines."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.kernel.working_days import Calendar
from tanqiao_region.domain.rules import ParameterValue, Provenance, RulePack
from tanqiao_region.domain.rules.articles import cite, number_zh
from tanqiao_region.domain.rules.checks import tonnes
from tanqiao_region.domain.rules.facts import PublishProject, Retire, SubmitProject
from tanqiao_region.domain.rules.lifecycles import BEFORE, Lifecycle
from tanqiao_region.domain.rules.parameters import (
    Kind,
    ParameterDefinition,
    Parameters,
)
from tanqiao_region.rulepack_cases import load_cases
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, RulePackLibrary, load_pack, pack_digest

SHANGHAI = SHIPPED_PACKS / "sh_draft"
SHENZHEN = SHIPPED_PACKS / "sz_draft"
NODE = SHIPPED_PACKS.parent
ENGINE = NODE / "domain/rules"


@pytest.fixture(scope="module")
def shanghai() -> RulePack:
    return load_pack(SHANGHAI, network_id="test-engine")


def _project(directory: Path = SHANGHAI) -> SubmitProject:
    found = next(
        case.facts
        for case in load_cases(directory)
        if isinstance(case.facts, SubmitProject) and not case.refuses and not case.parameters
    )
    assert isinstance(found, SubmitProject)
    return found


# --- Verdicts ---------------------------------------------------------------------------------------------


def test_all_failures_are_returned_and_the_first_by_precedence_is_raised(shanghai: RulePack) -> None:
    facts = _project()
    broken = replace(
        facts,
        actor=replace(facts.actor, role="sh.exchange"),
        participant=replace(facts.participant, commitment=None, seat_region="440300"),
        capacity_w=2_000_000,
    )
    verdict = shanghai.evaluate(broken)
    assert [finding.reason_symbol for finding in verdict.refusals] == [
        "ROLE_NOT_PERMITTED",
        "REGION_SCOPE_MISMATCH",
        "COMMITMENT_MISSING",
        "ASSESSMENT_NOT_PASSED",
    ]
    with pytest.raises(DomainError) as raised:
        shanghai.require(broken)
    assert raised.value.symbol == "ROLE_NOT_PERMITTED"
    assert raised.value.metadata["other_refusals"] == (
        "SH-2:REGION_SCOPE_MISMATCH, SH-14:COMMITMENT_MISSING, "
        "POLICY-methodology-conditions:ASSESSMENT_NOT_PASSED"
    )
    assert raised.value.metadata["rule_pack"] == str(shanghai.identity)


def test_an_allowed_act_gives_its_verdict_with_pack_and_rules(shanghai: RulePack) -> None:
    verdict = shanghai.require(_project())
    assert verdict.allowed
    assert verdict.act == "SubmitProject"
    assert verdict.pack == shanghai.identity
    assert {"SH-26", "SH-3", "SH-14", "SH-9"} <= set(verdict.rules_applied)
    assert "SH-17b" not in verdict.rules_applied


def test_a_note_stops_nothing_and_is_carried_by_the_verdict() -> None:
    pack = load_pack(SHENZHEN, network_id="test-engine")
    found = next(case for case in load_cases(SHENZHEN) if "registration is not barred" in case.name)
    verdict = pack.require(found.facts)
    assert [item.metadata["bars_issuance"] for item in verdict.notes] == ["DUPLICATE_PROGRAMME_APPLIED"]


def test_the_article_is_cited_in_both_languages(shanghai: RulePack) -> None:
    facts = replace(_project(), participant=replace(_project().participant, commitment=None))
    with pytest.raises(DomainError) as raised:
        shanghai.require(facts)
    assert raised.value.metadata["article_zh"] == "《上海市碳普惠管理办法（征求意见稿）》第十四条"
    assert raised.value.article == ("Shanghai Carbon-Inclusion Measures (draft for public comment), Art. 14")


@pytest.mark.parametrize(
    ("label", "zh", "en"),
    [
        ("12", "《甲》第十二条", "A, Art. 12"),
        ("20¶3", "《甲》第二十条第三款", "A, Art. 20 para. 3"),
        ("31(1)", "《甲》第三十一条第（一）项", "A, Art. 31 (1)"),
        ("31(3)(4)", "《甲》第三十一条第（三）、（四）项", "A, Art. 31 (3)(4)"),
        ("goals, 2025", "《甲》goals, 2025", "A, goals, 2025"),
    ],
)
def test_articles_are_written_as_statutes_write_them(label: str, zh: str, en: str) -> None:
    text = cite(label, title_zh="甲", title_en="A")
    assert (text.zh, text.en) == (zh, en)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "一"),
        (10, "十"),
        (12, "十二"),
        (20, "二十"),
        (99, "九十九"),
        (100, "一百"),
        (104, "一百零四"),
        (110, "一百一十"),
    ],
)
def test_numbers_are_written_in_chinese(number: int, text: str) -> None:
    assert number_zh(number) == text


@pytest.mark.parametrize(
    ("kg", "text"), [(0, "0"), (1, "0.001"), (1500, "1.5"), (60_000, "60"), (-250, "-0.25")]
)
def test_kilograms_are_shown_as_tonnes_without_loss(kg: int, text: str) -> None:
    assert tonnes(kg) == text


# --- Parameters -------------------------------------------------------------------------------------------

RATE = ParameterDefinition("x.rate", Kind.INTEGER, "open")
NOTICE = ParameterDefinition("x.notice[]", Kind.TABLE, "open", unset_reason="OFFSET_NOTICE_NOT_PUBLISHED")
MODE = ParameterDefinition("x.mode", Kind.TEXT, "open", allowed=frozenset({"hold", "block"}))


def _value(
    value: bool | int | str,
    begins: date | None,
    ends: date | None = None,
    provenance: Provenance = Provenance.OPERATOR,
    key: str = "x.rate",
) -> ParameterValue:
    return ParameterValue(key, value, begins, provenance, "document", ends)


def test_a_value_holds_from_its_first_day_to_the_day_before_its_end() -> None:
    parameters = Parameters(
        [RATE],
        [],
        [_value(1, date(2026, 1, 1), date(2026, 3, 1)), _value(2, date(2026, 3, 1))],
        network_id="production",
    )
    assert parameters.get("x.rate", date(2026, 2, 28)) == 1
    assert parameters.get("x.rate", date(2026, 3, 1)) == 2
    with pytest.raises(DomainError) as raised:
        parameters.get("x.rate", date(2025, 12, 31))
    assert (raised.value.symbol, raised.value.metadata["parameter"]) == ("PARAMETER_NOT_SET", "x.rate")


def test_an_unset_parameter_refuses_with_the_reason_of_its_definition() -> None:
    parameters = Parameters([NOTICE], [], network_id="production")
    with pytest.raises(DomainError) as raised:
        parameters.get("x.notice[2026]", date(2026, 5, 1))
    assert raised.value.symbol == "OFFSET_NOTICE_NOT_PUBLISHED"


def test_a_demonstration_value_counts_on_test_networks_only() -> None:
    shipped = [_value(7, None, provenance=Provenance.DEMONSTRATION)]
    on_test = Parameters([RATE], shipped, network_id="test-1")
    assert on_test.get("x.rate", date(2026, 1, 1)) == 7
    elsewhere = Parameters([RATE], shipped, network_id="cn-pilot")
    with pytest.raises(DomainError) as raised:
        elsewhere.get("x.rate", date(2026, 1, 1))
    assert raised.value.symbol == "PARAMETER_NOT_SET"


def test_an_operator_cannot_give_a_demonstration_value_outside_a_test_network() -> None:
    given_value = [_value(7, None, provenance=Provenance.DEMONSTRATION)]
    assert Parameters([RATE], [], given_value, network_id="test-1").get("x.rate", date(2026, 1, 1)) == 7
    with pytest.raises(DomainError) as raised:
        Parameters([RATE], [], given_value, network_id="cn-pilot")
    assert raised.value.symbol == "PARAMETER_INVALID"


def test_the_operators_value_wins_over_the_packs_from_the_same_day() -> None:
    parameters = Parameters(
        [RATE], [_value(1, None, provenance=Provenance.INFERRED)], [_value(2, None)], network_id="production"
    )
    assert parameters.get("x.rate", date(2026, 1, 1)) == 2


@pytest.mark.parametrize(
    "entry",
    [
        _value("text", None),
        _value(True, None),
        _value(1, None, key="x.unknown"),
        _value("maybe", None, key="x.mode"),
    ],
    ids=["wrong type", "a boolean is no number", "not declared", "not among the allowed"],
)
def test_a_value_that_its_definition_does_not_allow_is_refused(entry: ParameterValue) -> None:
    with pytest.raises(DomainError) as raised:
        Parameters([RATE, MODE], [], [entry], network_id="production")
    assert raised.value.symbol == "PARAMETER_INVALID"


def test_reading_a_parameter_that_no_pack_declares_is_a_fault_of_the_program() -> None:
    with pytest.raises(InvariantBroken):
        Parameters([RATE], [], network_id="production").on(date(2026, 1, 1)).integer("x.other")


def test_no_shipped_pack_is_in_force_on_a_production_network_before_an_operator_dates_it() -> None:
    library = RulePackLibrary.discover(network_id="cn-pilot")
    for loaded in library.packs:
        with pytest.raises(DomainError) as raised:
            library.in_force(loaded.pack.region, date(2026, 6, 1))
        assert raised.value.symbol == "RULE_PACK_NOT_IN_FORCE"


def test_an_operators_date_puts_a_pack_in_force() -> None:
    dated = _value(0, None, key="pack.in_force_from")
    dated = replace(dated, value=date(2026, 2, 1))
    library = RulePackLibrary.discover(network_id="cn-pilot", operator_values={"yn-draft": [dated]})
    assert library.in_force("530000", date(2026, 2, 1)).identity.pack_id == "yn-draft"
    with pytest.raises(DomainError):
        library.in_force("530000", date(2026, 1, 31))


def test_every_shipped_value_names_its_ground_and_every_parameter_why_it_is_open() -> None:
    for loaded in RulePackLibrary.discover(network_id="test-1").packs:
        assert all(definition.open_because for definition in loaded.pack.data.definitions)
        assert all(value.document for value in loaded.pack.data.values)


def test_every_drafting_slip_of_the_digest_is_on_record_in_a_pack() -> None:
    packs = RulePackLibrary.discover(network_id="test-1").packs
    recorded = {slip.slip_id for loaded in packs for slip in loaded.pack.data.slips}
    assert recorded == {f"D-{number}" for number in range(1, 30)}


# --- Notices ----------------------------------------------------------------------------------------------

DAYS_OFF_2026 = (
    "01-01 01-02 02-16 02-17 02-18 02-19 02-20 02-23 04-06 05-01 05-04 05-05 06-19 09-25 10-01 10-02 "
    "10-05 10-06 10-07"
)
DAYS_WORKED_2026 = "01-04 02-14 02-28 05-09 09-20 10-10"
YEAR_2026 = {
    2026: (
        tuple(date.fromisoformat(f"2026-{day}") for day in DAYS_OFF_2026.split(" ")),
        tuple(date.fromisoformat(f"2026-{day}") for day in DAYS_WORKED_2026.split(" ")),
    )
}
CALENDAR = Calendar.of(YEAR_2026)


@pytest.mark.parametrize(
    ("start", "counting", "last_day"),
    [
        ("2026-02-12", True, "2026-02-25"),
        ("2026-02-12", False, "2026-02-26"),
        ("2026-04-30", True, "2026-05-09"),
        ("2026-04-30", False, "2026-05-11"),
        ("2026-09-18", True, "2026-09-23"),
        ("2026-09-18", False, "2026-09-24"),
        ("2026-09-24", True, "2026-10-08"),
        ("2026-09-24", False, "2026-10-09"),
    ],
)
def test_a_notice_of_five_working_days_ends_by_the_vectors_of_the_field(
    start: str, counting: bool, last_day: str, shanghai: RulePack
) -> None:
    rule = shanghai.notice_rule("project")
    assert rule is not None
    setting = replace(_value(1, None, key="pack.notice_first_day_counts"), value=counting)
    pack = shanghai.with_parameters((setting,))
    first_day = date.fromisoformat(start)
    notice = rule.open(first_day, CALENDAR, pack.parameters.on(first_day))
    assert notice.last_day == date.fromisoformat(last_day)
    assert (notice.first_day, notice.working_days, notice.first_day_counted) == (first_day, 5, counting)


def test_a_notice_that_reaches_an_unpublished_year_is_refused(shanghai: RulePack) -> None:
    rule = shanghai.notice_rule("scene")
    assert rule is not None
    first_day = date(2026, 12, 28)
    with pytest.raises(DomainError) as raised:
        rule.open(first_day, CALENDAR, shanghai.parameters.on(first_day))
    assert raised.value.symbol == "CALENDAR_NOT_LOADED"


def test_the_notice_that_a_pack_computes_is_the_one_that_its_rule_accepts(shanghai: RulePack) -> None:
    rule = shanghai.notice_rule("project")
    assert rule is not None
    published = next(
        case.facts
        for case in load_cases(SHANGHAI)
        if isinstance(case.facts, PublishProject) and not case.refuses
    )
    assert isinstance(published, PublishProject)
    notice = rule.open(date(2026, 3, 2), CALENDAR, shanghai.parameters.on(date(2026, 3, 2)))
    assert shanghai.evaluate(replace(published, notice=notice, on=date(2026, 3, 10))).allowed
    early = shanghai.evaluate(replace(published, notice=notice, on=notice.last_day))
    assert [finding.reason_symbol for finding in early.refusals] == ["NOTICE_PERIOD_RUNNING"]


def test_regions_without_a_notice_in_their_text_have_no_notice_rule() -> None:
    assert load_pack(SHENZHEN, network_id="test-1").notice_rule("project") is None


# --- State machines ---------------------------------------------------------------------------------------

MACHINES = [
    (loaded.pack.identity.pack_id, machine)
    for loaded in RulePackLibrary.discover(network_id="test-1").packs
    for machine in loaded.pack.data.lifecycles.values()
]


@pytest.mark.parametrize(
    "machine", [machine for _, machine in MACHINES], ids=[f"{p}-{m.object_kind}" for p, m in MACHINES]
)
def test_every_state_can_be_reached_and_every_rule_of_an_edge_is_an_id_of_the_texts(
    machine: Lifecycle,
) -> None:
    assert machine.reachable() == machine.states
    assert all(edge.rule_id or edge.inferred or edge.event == "reject" for edge in machine.transitions)


@given(st.data())
def test_no_sequence_of_events_leaves_the_published_states(data: st.DataObject) -> None:
    _, machine = data.draw(st.sampled_from(MACHINES))
    events = sorted(machine.events)
    state = BEFORE
    for event in data.draw(st.lists(st.sampled_from(events), max_size=20)):
        open_here = {edge.event: edge.to for edge in machine.transitions if edge.state == state}
        if event in open_here:
            state = machine.step(state, event).to
            assert state == open_here[event]
            assert state in machine.states
        else:
            with pytest.raises(DomainError) as raised:
                machine.step(state, event, object_id="X")
            assert raised.value.symbol == "STATE_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("pack_id", "kind", "ends"),
    [
        ("sh-draft", "unit", {"RETIRED", "CANCELLED", "MOVED"}),
        ("sz-draft", "unit", {"RETIRED", "CANCELLED", "MOVED"}),
        ("yn-draft", "methodology", {"DRAFT"}),
    ],
)
def test_what_is_used_never_moves_again(pack_id: str, kind: str, ends: set[str]) -> None:
    machine = next(machine for pack, machine in MACHINES if (pack, machine.object_kind) == (pack_id, kind))
    left = {edge.state for edge in machine.transitions}
    assert machine.states - left == ends


# --- Packs as directories ---------------------------------------------------------------------------------


def _copy(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_pack_is_added_by_a_directory_alone(tmp_path: Path) -> None:
    copy = _copy(SHIPPED_PACKS / "yn_draft", tmp_path / "packs" / "gz_pilot")
    text = (copy / "pack.toml").read_text(encoding="utf-8")
    text = text.replace('id = "yn-draft"', 'id = "gz-pilot"').replace(
        'region = "530000"', 'region = "520000"'
    )
    (copy / "pack.toml").write_text(text, encoding="utf-8")
    library = RulePackLibrary.discover(network_id="test-1", extra_directory=tmp_path / "packs")
    assert library.in_force("520000", date(2026, 3, 2)).identity.pack_id == "gz-pilot"
    assert library.in_force("530000", date(2026, 3, 2)).identity.pack_id == "yn-draft"


def test_the_digest_follows_the_law_files_and_not_the_cases(tmp_path: Path) -> None:
    copy = _copy(SHANGHAI, tmp_path / "sh")
    assert pack_digest(copy) == pack_digest(SHANGHAI)
    (copy / "cases").mkdir()
    (copy / "cases" / "more.toml").write_text("", encoding="utf-8")
    assert pack_digest(copy) == pack_digest(SHANGHAI)
    (copy / "rules.py").write_text((copy / "rules.py").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert pack_digest(copy) != pack_digest(SHANGHAI)


def test_an_old_entry_is_judged_by_its_own_version_or_not_at_all(tmp_path: Path) -> None:
    library = RulePackLibrary.discover(network_id="test-1")
    pack = library.in_force("310000", date(2026, 3, 2))
    assert library.by_identity(pack.identity) is pack
    for other in (replace(pack.identity, digest="0" * 64), replace(pack.identity, version="0")):
        with pytest.raises(DomainError) as raised:
            library.by_identity(other)
        assert raised.value.symbol == "RULES_DIGEST_MISMATCH"


def _listed(name: str) -> list[tuple[str, str, str]]:
    with (SHIPPED_PACKS / name).open(encoding="utf-8", newline="") as stream:
        return [(row["id"], row["version"], row["digest"]) for row in csv.DictReader(stream)]


def test_a_listed_pack_ships_as_it_is_listed_and_a_released_one_never_changes() -> None:
    published, released = _listed("published.csv"), _listed("released.csv")
    shipped = {
        (loaded.pack.identity.pack_id, loaded.pack.identity.version): loaded.pack.identity.digest
        for loaded in RulePackLibrary.discover(network_id="test-1").packs
    }
    assert len(published) >= len(shipped), "a pack that ships is listed with its digest"
    changed = [entry for entry in published if shipped.get(entry[:2]) != entry[2]]
    assert changed == [], "a pack that was changed is listed with its digest"
    gone = [entry for entry in released if shipped.get(entry[:2]) != entry[2]]
    assert gone == [], "what a release has shipped is changed by a new version beside it, and by nothing else"
    assert len({entry[:2] for entry in released}) == len(released)


def test_two_versions_of_one_pack_stand_side_by_side(tmp_path: Path) -> None:
    copy = _copy(SHANGHAI, tmp_path / "packs" / "sh_draft_2")
    head = (copy / "pack.toml").read_text(encoding="utf-8").replace('version = "1"', 'version = "2"')
    head = head.replace("value = 2026-01-01", "value = 2026-07-01")
    (copy / "pack.toml").write_text(head, encoding="utf-8")
    ends = ParameterValue("pack.in_force_to", date(2026, 7, 1), None, Provenance.OPERATOR, "successor")
    first = load_pack(SHANGHAI, network_id="test-1", operator_values=[ends])
    second = load_pack(copy, network_id="test-1")
    assert first.in_force(date(2026, 6, 30))
    assert not first.in_force(date(2026, 7, 1))
    assert second.in_force(date(2026, 7, 1))
    assert first.identity.digest != second.identity.digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('role_rule = "SH-4"', 'role_rule = "SH-4"\nunknown = 1', "unknown field unknown"),
        ('rule = "SH-12"', 'rule = "SH-98"', "unknown rule id"),
        ('"behaviour_scene", "reductions"', '"reductions"', "SH-7: no register for behaviour_scene"),
        ('version = "1"', "", "version is missing"),
        ('kind = "boolean"', 'kind = "maybe"', "maybe is no Kind"),
    ],
)
def test_an_unsound_pack_stops_the_node_with_the_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    copy = _copy(SHANGHAI, tmp_path / "sh")
    text = (copy / "pack.toml").read_text(encoding="utf-8")
    assert old in text
    (copy / "pack.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InvariantBroken, match=message):
        load_pack(copy, network_id="test-1")


ASSESSING = 'acts = ["AppointPanel", "AssessMethodology"]\nroles = ["sh.{}"]'
UNSOUND_DATA = [
    ("sh_draft", "roles.toml", ASSESSING.format("centre"), ASSESSING.format("bureau"), "SH-5a"),
    ("sz_draft", "registers.toml", '"兑换" = "points_redeemed"\n', "", "SZ-5b"),
    ("sz_draft", "registers.toml", 'slug = "policies"', 'slug = "projects"', "SZ-5c: two lists"),
    ("sz_draft", "registers.toml", 'slug = "expert-pool"', 'slug = "pool"', "SZ-27: no list of expert"),
    ("sz_draft", "slips.toml", 'id = "D-16"', 'id = "D-0"', "SZ-31b"),
    ("yn_draft", "pack.toml", '["reserve_entry", "proof_of_filing"]', '["proof_of_filing"]', "YN-7"),
    (
        "yn_draft",
        "pack.toml",
        "[units]\n",
        '[units]\ngrain_parameters = { project = "yn.areas" }\n',
        "YN-22a",
    ),
    ("yn_draft", "registers.toml", '"potential_kg_per_year", ', "", "YN-22b"),
    ("yn_draft", "slips.toml", '"carbon_credit_unit"\n', '"credit_standing"\n', "YN-22c"),
]


@pytest.mark.parametrize(
    ("source", "name", "old", "new", "message"),
    UNSOUND_DATA,
    ids=[entry[-1].partition(":")[0] for entry in UNSOUND_DATA],
)
def test_data_that_do_not_keep_what_the_text_demands_are_refused(
    tmp_path: Path, source: str, name: str, old: str, new: str, message: str
) -> None:
    copy = _copy(SHIPPED_PACKS / source, tmp_path / "pack")
    text = (copy / name).read_text(encoding="utf-8")
    assert old in text
    (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InvariantBroken, match=message):
        load_pack(copy, network_id="test-1")


def test_a_rule_module_that_does_not_load_stops_the_node(tmp_path: Path) -> None:
    copy = _copy(SHANGHAI, tmp_path / "sh")
    (copy / "rules.py").write_text("raise RuntimeError('no')\n", encoding="utf-8")
    with pytest.raises(InvariantBroken, match=r"rules\.py cannot be loaded"):
        load_pack(copy, network_id="test-1")


def test_a_directory_without_a_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvariantBroken, match=r"pack\.toml is missing"):
        load_pack(tmp_path, network_id="test-1")
    with pytest.raises(InvariantBroken, match="does not exist"):
        RulePackLibrary.discover(network_id="test-1", extra_directory=tmp_path / "nothing")


def test_no_engine_code_names_a_city() -> None:
    names = ("shanghai", "shenzhen", "yunnan", "上海", "深圳", "云南", "310000", "440300", "530000")
    prefixes = ("sh.", "sz.", "yn.", "SHCER", "SZ_PHCER")
    everywhere = [path for path in NODE.rglob("*.py") if SHIPPED_PACKS not in path.parents]
    assert ENGINE / "pack.py" in everywhere
    for path in sorted(everywhere):
        text = path.read_text(encoding="utf-8").replace("Asia/Shanghai", "")  # the legal time zone
        assert not [name for name in names if name in text.lower()], path.name
        assert not [prefix for prefix in prefixes if f'"{prefix}' in text], path.name


# --- Stories of the texts ---------------------------------------------------------------------------------


def test_a_mixed_block_is_refused_by_the_range_of_its_class_two_part(shanghai: RulePack) -> None:
    case = next(case for case in load_cases(SHANGHAI) if "surrendered together" in case.name)
    assert isinstance(case.facts, Retire)
    rule = ParameterValue(
        "sh.surrender_rule[2026]", {"cap_kg": 1_000_000}, None, Provenance.OPERATOR, "rule of 2026"
    )
    verdict = shanghai.with_parameters((rule,)).evaluate(case.facts)
    assert [finding.metadata["ranges"] for finding in verdict.refusals] == [
        ["310000/SHCER/S1/2025/1[0,5000)"]
    ]


def test_the_cap_names_what_is_left_in_tonnes() -> None:
    pack = load_pack(SHENZHEN, network_id="test-1")
    case = next(case for case in load_cases(SHENZHEN) if "forty are left" in case.name)
    notice = ParameterValue(
        "sz.offset_notice[2026]", {"cap_kg": 100_000}, None, Provenance.OPERATOR, "notice of 2026"
    )
    with pytest.raises(DomainError) as raised:
        pack.with_parameters((notice,)).require(case.facts)
    assert raised.value.sentence("en") == "40 t of the 2026 offset total remain; 60 t were asked."
