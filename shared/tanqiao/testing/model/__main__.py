"""``python -m tanqiao.testing.model``: explores every world and says what it covered."""

from __future__ import annotations

import sys
import time

from tanqiao.testing.model.explore import Explorer, Result
from tanqiao.testing.model.scenarios import all_scenarios


def report(result: Result, seconds: float) -> str:
    """Say in one line what was covered, and below it what is wrong."""
    scenario = result.scenario
    who = f"{scenario.liar} lies" if scenario.liar else "all honest"
    stuck = "" if scenario.liar else f", {result.stuck} cannot reach a good end"
    lines = [
        (
            f"{scenario.name} ({who}): {result.states} states, {result.transitions} transitions,"
            f" {sum(result.violations.values())} violations{stuck}, {seconds:.1f} s"
        )
    ]
    lines += [f"    {count} x {sentence}" for sentence, count in sorted(result.violations.items())]
    if result.first_violation:
        lines.append("    first violation: " + " | ".join(result.first_violation))
    if result.first_stuck:
        lines.append("    first stuck: " + " | ".join(result.first_stuck))
    return "\n".join(lines)


def main() -> int:
    """Explore all; 1 if anything is wrong."""
    started = time.perf_counter()
    states = violations = stuck = 0
    for scenario in all_scenarios():
        before = time.perf_counter()
        result = Explorer(scenario).run()
        sys.stdout.write(report(result, time.perf_counter() - before) + "\n")
        sys.stdout.flush()
        states += result.states
        violations += sum(result.violations.values())
        stuck += result.stuck
    seconds = time.perf_counter() - started
    sys.stdout.write(
        f"model: {states} states, {violations} violations, {stuck} honest states cannot reach a good end, "
        f"{seconds:.1f} s\n"
    )
    return 1 if violations or stuck else 0


if __name__ == "__main__":
    sys.exit(main())
