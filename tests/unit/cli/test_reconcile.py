"""What `tanqiao reconcile` shows while regions compare their books, at a terminal and in a pipe."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tanqiao.api.bridge.v1 import reconcile_pb2
from tanqiao.cli.output import Output
from tanqiao.cli.verbs import reconcile as verb
from tanqiao.kernel.errors import DomainError

FULL, LIGHT = reconcile_pb2.RECONCILE_DEPTH_FULL, reconcile_pb2.RECONCILE_DEPTH_LIGHT
SHANGHAI, SHENZHEN = "region/310000", "region/440300"


def run(region: str, compared: int, *, ended: bool = False, depth: Any = FULL, run_id: bytes = b"new") -> Any:
    return reconcile_pb2.Reconciliation(
        region=region,
        run_id=run_id,
        state=verb.CLEAN if ended else verb.RUNNING,
        depth=depth,
        series_count=40,
        series_compared=compared,
    )


class Bridge:
    """Answers ListReconciliations with what was prepared, the last again and again."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.reconciliation = self

    def ListReconciliations(self, request: object) -> Any:
        del request
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return reconcile_pb2.ListReconciliationsResponse(reconciliations=answer)


def watch(bridge: Bridge, *, is_terminal: bool, wait_seconds: float = 30.0) -> tuple[Any, str]:
    shown = io.StringIO()
    output = Output(as_json=False)
    output.console = Console(file=shown, force_terminal=is_terminal, width=120)
    session: Any = SimpleNamespace(bridge=bridge, output=output)
    found = verb._watch(session, [SHANGHAI, SHENZHEN], {SHANGHAI: b"old"}, FULL, wait_seconds)
    return found, shown.getvalue()


WHOLE = [run(SHANGHAI, 40, ended=True), run(SHENZHEN, 40, ended=True)]


def test_a_terminal_shows_how_many_series_of_each_region_were_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    found, shown = watch(Bridge([run(SHANGHAI, 7), run(SHENZHEN, 13)], WHOLE), is_terminal=True)
    assert [one.region for one in found] == [SHANGHAI, SHENZHEN]
    assert "40/40 系列 series" in shown
    assert "7/40" in shown
    assert "13/40" in shown


def test_a_pipe_gets_a_line_for_each_region_that_has_ended_beside_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = [run(SHANGHAI, 40, ended=True), run(SHENZHEN, 13)]
    _, shown = watch(Bridge(begun, WHOLE), is_terminal=False)
    assert not shown, "the answer is not mixed with progress"
    assert capsys.readouterr().err.splitlines() == [
        f"{SHANGHAI}: 相符 clean (1/2)",
        f"{SHENZHEN}: 相符 clean (2/2)",
    ]


def test_neither_an_old_run_nor_a_light_one_is_the_full_run_that_was_asked_for() -> None:
    old = run(SHANGHAI, 40, ended=True, run_id=b"old")
    light = run(SHENZHEN, 40, ended=True, depth=LIGHT)
    found, _ = watch(Bridge([old, light], [old, WHOLE[1]], WHOLE), is_terminal=False)
    assert all(one.run_id == b"new" and one.depth == FULL for one in found)
    with pytest.raises(DomainError) as caught:
        watch(Bridge([old, light]), is_terminal=False, wait_seconds=0.5)
    assert caught.value.symbol == "DEADLINE_EXCEEDED"
