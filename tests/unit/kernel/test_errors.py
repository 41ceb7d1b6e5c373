from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken, UnitBlock, require
from tanqiao.kernel.errors import Bilingual, fill_sentence
from tanqiao.kernel.reasons import CATALOGUE


def test_require_lets_a_true_condition_pass_and_stops_a_false_one_with_its_message() -> None:
    require(condition=True, message="never shown")
    with pytest.raises(InvariantBroken, match="supply is conserved"):
        require(condition=False, message="supply is conserved")


def test_require_still_stops_when_python_runs_with_optimisation() -> None:
    program = "from tanqiao.kernel import require\nassert False\nrequire(False, 'still checked')"
    outcome = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 1
    assert "InvariantBroken: still checked" in outcome.stderr


def test_a_refusal_with_a_symbol_outside_the_catalogue_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken, match="NO_SUCH_REASON"):
        DomainError("NO_SUCH_REASON")


def test_a_refusal_fills_its_sentence_in_both_languages() -> None:
    refusal = DomainError("UNITS_INSUFFICIENT", asked_kg=1500, available_kg=1000)
    assert refusal.sentence("zh") == "可用减排量1000千克，不足以办理1500千克。"
    assert refusal.sentence("en") == "1000 kg are available; 1500 kg were asked."
    assert refusal.metadata == {"asked_kg": "1500", "available_kg": "1000"}


def test_a_missing_value_is_shown_as_the_name_of_its_placeholder() -> None:
    assert DomainError("CALENDAR_NOT_LOADED").sentence("en") == "The holiday calendar of year is not loaded."


def test_the_field_at_fault_fills_a_placeholder_of_that_name() -> None:
    assert DomainError("FIELD_MISSING", field="project_id").sentence("zh") == "缺少必填项project_id。"


def test_values_with_braces_or_format_directives_are_shown_as_they_are() -> None:
    refusal = DomainError("NOT_FOUND", what="{id}", id="{what.__class__} %s \\1")
    assert refusal.sentence("en") == "Not found: {id} {what.__class__} %s \\1."


def test_a_bilingual_value_reads_in_the_language_of_the_sentence() -> None:
    refusal = DomainError("VERIFICATION_REPORT_MISSING", kind=Bilingual("核证", "verification"))
    assert refusal.sentence("zh") == "缺少第三方核证报告。"
    assert refusal.sentence("en") == "The third party's verification report is missing."
    assert refusal.metadata == {"kind": "verification", "kind_zh": "核证", "kind_en": "verification"}


def test_the_article_of_the_rule_in_force_overrides_that_of_the_catalogue_and_follows_the_sentence() -> None:
    refusal = DomainError("SELF_APPROVAL_FORBIDDEN", article="SZ-23")
    assert refusal.article == "SZ-23"
    assert (
        refusal.sentence_with_article("en")
        == "You cannot approve what you submitted; another person must. (SZ-23)"
    )
    assert refusal.sentence_with_article("zh").endswith("（SZ-23）")
    assert DomainError("SELF_APPROVAL_FORBIDDEN").sentence_with_article("en").endswith("must.")


def test_the_blocks_concerned_are_kept_beside_their_text() -> None:
    blocks = [UnitBlock("S:1", 0, 5), UnitBlock("S:1", 7, 9)]
    refusal = DomainError("UNIT_LOCKED", ranges=blocks, transfer_id=b"\x01\x02")
    assert refusal.blocks == tuple(blocks)
    assert refusal.metadata == {"ranges": "S:1[0,5), S:1[7,9)", "transfer_id": "0102"}


def test_sets_are_written_in_order_and_truth_values_in_lower_case() -> None:
    refusal = DomainError("CLAIM_HOLD", cases={"b", "a"}, final=False)
    assert refusal.metadata == {"cases": "a, b", "final": "false"}


def test_words_of_the_signature_do_not_clash_with_metadata() -> None:
    refusal = DomainError("EXPERT_CONFLICT", id="E1", reason="colleague", symbol="x")
    assert refusal.metadata == {"id": "E1", "reason": "colleague", "symbol": "x"}
    assert refusal.reason.symbol == "EXPERT_CONFLICT"


def test_a_refusal_survives_pickling() -> None:
    refusal = DomainError("GRAIN_NOT_MET", field="quantity_kg", grain=1000, rest=5)
    copy = pickle.loads(pickle.dumps(refusal))  # noqa: S301 - our own bytes
    assert (copy.symbol, copy.field, copy.metadata) == (refusal.symbol, refusal.field, refusal.metadata)


def test_the_text_of_a_refusal_names_its_symbol_and_says_what_to_do() -> None:
    assert str(DomainError("BATCH_EMPTY")) == "BATCH_EMPTY: The batch is empty; it needs at least one item."


@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text()),
)
def test_no_metadata_can_make_a_sentence_raise(symbol: str, metadata: dict[str, str]) -> None:
    reserved = {"field", "article"}
    refusal = DomainError(symbol, **{key: value for key, value in metadata.items() if key not in reserved})
    assert refusal.sentence("zh")
    assert refusal.sentence("en")


@given(st.text(alphabet="ab{}_ ", max_size=30))
def test_filling_without_values_only_takes_braces_away(template: str) -> None:
    filled = fill_sentence(template, {}, "en")
    assert filled.replace("{", "").replace("}", "") == template.replace("{", "").replace("}", "")
