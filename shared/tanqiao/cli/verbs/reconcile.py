"""`tanqiao reconcile`: every region's books against the bridge's, with progress and result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tanqiao.api.bridge.v1 import reconcile_pb2
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.session import Session, require_region
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError

LOOK_SECONDS: Final = 0.2
RUNNING: Final = reconcile_pb2.RECONCILE_STATE_RUNNING
CLEAN: Final = reconcile_pb2.RECONCILE_STATE_CLEAN
WORDS: Final = {
    reconcile_pb2.RECONCILE_STATE_RUNNING: "进行中 running",
    reconcile_pb2.RECONCILE_STATE_CLEAN: "相符 clean",
    reconcile_pb2.RECONCILE_STATE_MISMATCH: "不符，已冻结 differs, frozen",
    reconcile_pb2.RECONCILE_STATE_ENDED: "已放弃 given up",
}


@click.command(cls=Verb)
@click.option("--region", default="", help="Region or its code; default: every region on the line.")
@click.option(
    "--light", is_flag=True, help="Compare the roots alone; goes on to the blocks where they differ."
)
@click.option("--wait", "wait_seconds", default=120.0, show_default=True, help="Longest wait in seconds.")
@click.pass_obj
def reconcile(session: Session, region: str, light: bool, wait_seconds: float) -> None:
    """Compare the books of the regions with the bridge's, down to the block, while everybody works on.

    Exit code 1 where a block differs: it is frozen, and a case is open until a full run is clean.
    """
    party = f"region/{require_region(region).code}" if region else ""
    depth = reconcile_pb2.RECONCILE_DEPTH_LIGHT if light else reconcile_pb2.RECONCILE_DEPTH_FULL
    bridge = session.bridge.reconciliation
    before = {one.region: one.run_id for one in _list(session, party)}
    asked = bridge.StartReconciliation(reconcile_pb2.StartReconciliationRequest(region=party, depth=depth))
    if not asked.asked_regions:
        raise DomainError("REGION_UNKNOWN", field="region", region=party or "–")
    found = _watch(session, list(asked.asked_regions), before, depth, wait_seconds)
    _show(session, found, list(asked.absent_regions))
    if any(one.state != CLEAN for one in found):
        raise click.exceptions.Exit(EXIT_REFUSED)


def _list(session: Session, party: str) -> list[reconcile_pb2.Reconciliation]:
    request = reconcile_pb2.ListReconciliationsRequest(region=party)
    return list(session.bridge.reconciliation.ListReconciliations(request).reconciliations)


def _watch(
    session: Session,
    regions: Sequence[str],
    before: dict[str, bytes],
    depth: reconcile_pb2.ReconcileDepth.ValueType,
    wait_seconds: float,
) -> list[reconcile_pb2.Reconciliation]:
    """Wait until each region's new run has ended, and show how far it has come.

    A light run of the region's own that happens to begin meanwhile does not answer who asked for a full one.
    """
    until = time.monotonic() + wait_seconds
    is_terminal = session.output.console.is_terminal
    told: set[str] = set()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} 系列 series"),
        TimeElapsedColumn(),
        console=session.output.console,
        disable=session.output.as_json or not is_terminal,
        transient=True,
    ) as progress:
        tasks: dict[str, TaskID] = {region: progress.add_task(region, total=1) for region in regions}
        while True:
            found = [
                one
                for one in _list(session, "")
                if one.region in tasks and one.run_id != before.get(one.region, b"") and one.depth >= depth
            ]
            for one in found:
                total = max(1, one.series_count)
                done = one.series_compared if one.state == RUNNING else total
                progress.update(tasks[one.region], completed=done, total=total)
                if one.state != RUNNING and one.region not in told and not is_terminal:
                    told.add(one.region)
                    session.output.step(f"{one.region}: {WORDS[one.state]} ({len(told)}/{len(regions)})")
            if len(found) == len(regions) and all(one.state != RUNNING for one in found):
                return found
            if time.monotonic() > until:
                raise DomainError("DEADLINE_EXCEEDED")
            time.sleep(LOOK_SECONDS)


def _show(session: Session, found: Sequence[reconcile_pb2.Reconciliation], absent: Sequence[str]) -> None:
    output = session.output
    if output.as_json:
        output.value(
            {"reconciliations": [message_fields(one) for one in found], "absent_regions": list(absent)}
        )
        return
    output.rows(
        ("地区 region", "结果 result", "应用至 applied", "叶 leaf", "系列 series", "区块 blocks", "kg"),
        [
            (
                one.region,
                WORDS.get(one.state, str(one.state)),
                one.applied_index,
                one.log_index if one.log_index >= 0 else "–",
                one.series_count,
                one.block_count,
                one.quantity_kg,
            )
            for one in found
        ],
    )
    bad = [(one.region, block) for one in found for block in one.bad_blocks]
    if bad:
        output.rows(
            ("地区 region", "区块 block", "桥 bridge", "地区账 region", "叶 leaves"),
            [
                (
                    region,
                    f"{one.block.series_id}[{one.block.start_serial},{one.block.end_serial})",
                    one.bridge_state or "–",
                    one.region_state or "–",
                    ", ".join(map(str, one.log_indexes)),
                )
                for region, one in bad
            ],
        )
    for region in absent:
        output.step(f"{region}: 未连线，未对账 / not on the line, not reconciled")
