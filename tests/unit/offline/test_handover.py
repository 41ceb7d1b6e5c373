"""Who has only the policy from before a change of witnesses gets the next one out of its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tanqiao.cli.main import main
from tanqiao.offline.container import encode_file
from tanqiao.offline.verify import verify_bytes
from tanqiao.tlog.policy import Policy, PolicyLog, parse_policy
from tests.golden.museum import handovers
from tests.golden.museum.exhibits import FIRST_POLICY, LOG
from tests.golden.museum.opening import GOOD
from tests.independent.verify_handover import next_policy
from tests.independent.verify_proof import Refused

FILE = GOOD / "file/handover.tanqiao-proof"
NEXT_ROOT = GOOD / "file/handover-after-a-next-root.tanqiao-proof"
BY_ROOTS = GOOD / "file/handover-by-roots.tanqiao-proof"


@pytest.mark.parametrize(("file", "size"), [(FILE, 14), (BY_ROOTS, 7), (NEXT_ROOT, 15)])
def test_both_verifiers_give_the_same_next_policy(file: Path, size: int) -> None:
    old, data = FIRST_POLICY.encode(), file.read_bytes()
    report = verify_bytes(data, old)
    assert report.holds, report.lines("en")
    assert report.policy == next_policy(old, data)
    later = parse_policy(report.policy)
    assert [start for start, _ in later.later] == [size]
    assert later.at(size - 1).witnesses == FIRST_POLICY.witnesses
    assert [one.name for one in later.at(size).witnesses] == list(handovers.PARTIES)


def test_who_knows_the_change_already_keeps_his_policy() -> None:
    data = FILE.read_bytes()
    following = verify_bytes(data, FIRST_POLICY.encode()).policy
    assert verify_bytes(data, following).policy == following == next_policy(following, data)


def test_a_log_without_witnesses_gains_some_by_its_roots() -> None:
    alone = Policy((PolicyLog(LOG.key),), (), (), "none").encode()
    made = encode_file(handovers.KIND, handovers.by_roots())
    report = verify_bytes(made, alone)
    assert b"\nquorum none\nfrom 7\n" in report.policy
    # Nobody was there to cosign it, or to stand for the list of authorities.
    assert "names the first witnesses" in (said := "\n".join(report.lines("en")))
    assert "no witnesses before to stand for that" in said
    assert "此前没有见证方可以保证" in "\n".join(report.lines("zh"))
    by_others = "\n".join(verify_bytes(FILE.read_bytes(), FIRST_POLICY.encode()).lines("en"))
    assert "the witnesses before, who replay every leaf, stand for that" in by_others


def test_approvers_alone_name_no_first_group() -> None:
    alone = Policy((PolicyLog(LOG.key),), (), (), "none").encode()
    refusal = verify_bytes(FILE.read_bytes(), alone).refusal
    assert (refusal.reason if refusal else "") == "HANDOVER_WRONG"
    with pytest.raises(Refused, match="without every root"):
        next_policy(alone, FILE.read_bytes())


def test_changes_are_taken_one_after_the_other() -> None:
    second = handovers.change(replaces_log_index=12)
    data = encode_file(handovers.KIND, handovers.parts(second))
    assert (refusal := verify_bytes(data, FIRST_POLICY.encode()).refusal) is not None
    assert refusal.reason == "POLICY_BEHIND"
    # What counts behind the change at 12 is known.
    behind = replace(FIRST_POLICY, later=((14, replace(FIRST_POLICY)),)).encode()
    assert verify_bytes(data, behind).holds


def test_the_next_policy_is_written_from_a_shell(tmp_path: Path) -> None:
    old, out = tmp_path / "old.policy", tmp_path / "next.policy"
    old.write_bytes(FIRST_POLICY.encode())

    def verify(file: Path, to: Path = out) -> tuple[int, str]:
        arguments = ["verify", str(file), "--policy", str(old), "--policy-out", str(to)]
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, result.output

    assert verify(GOOD.parent / "bad/file/handover-by-the-new-group.tanqiao-proof")[0] == 1
    code, said = verify(GOOD / "file/title.tanqiao-proof")
    assert (code, "of kind title gives no policy" in said) == (2, True)
    assert verify(FILE, tmp_path / "nowhere/next.policy")[0] == 2
    assert not out.exists()
    assert verify(FILE)[0] == 0
    assert out.read_bytes() == next_policy(FIRST_POLICY.encode(), FILE.read_bytes())
