"""Step f: the bridge dies in the middle of 200 concurrent transfers and comes back; nothing is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from rich.progress import Progress

from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2
from tanqiao.cli.demo.cast import RUSH_COUNT, RUSH_KG
from tanqiao.cli.demo.story import Story
from tanqiao.cli.demo.transfer_step import receiving_address
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.members import BRIDGE_MEMBER, REGIONS, SHANGHAI, SHENZHEN
from tanqiao.client.conservation import Conservation
from tanqiao.client.snapshots import check_federation
from tanqiao.kernel.errors import DomainError

CALLERS: Final = 32
KILL_AFTER: Final = 60
"""Ended transfers after which the bridge is killed; most of the others are then under way."""
WAIT_MS: Final = 1_500
ENDED: Final = frozenset({ledger_pb2.TRANSFER_STATE_MOVED, ledger_pb2.TRANSFER_STATE_RELEASED})
MIDDLE: Final = range(1, RUSH_COUNT)
CONSERVATION_SECONDS_MAX: Final = 60.0


def crash(story: Story) -> None:
    """Kill, restart, wait, and prove conservation over all regions."""
    story.begin("f", "崩溃与守恒", "The bridge is killed in the middle of 200 concurrent transfers")
    before_kg = _buyer_kg(story)
    transfers = _rush(story)
    final = _wait_for_all(story, transfers)
    counts = Counter(
        ledger_pb2.TransferState.Name(state).removeprefix("TRANSFER_STATE_") for state in final.values()
    )
    moved = sum(state == ledger_pb2.TRANSFER_STATE_MOVED for state in final.values())
    story.check(
        "全部已决定 every transfer has ended",
        len(final) == RUSH_COUNT and all(state in ENDED for state in final.values()),
        ", ".join(f"{name} {count}" for name, count in sorted(counts.items())),
    )

    def credited() -> bool | None:
        return True if _buyer_kg(story) == before_kg + moved * RUSH_KG else None

    story.wait_until("深圳入账与提交数一致 credited as committed", credited, seconds_max=30)
    story.check("深圳入账与提交数一致 credited as committed", passed=True, shown=f"+{moved * RUSH_KG} kg")
    _prove(story)


def _buyer_kg(story: Story) -> int:
    """Read the buyer's balance as another office than the one that opened the account."""
    balance = story.operator(SHENZHEN, "sz.bureau").accounts.GetBalance(
        accounts_pb2.GetBalanceRequest(account_id=story.found.buyer)
    )
    return int(balance.held_kg)


def _rush(story: Story) -> list[str]:
    """Start all transfers from many callers, kill the bridge among them, start it again."""
    address = receiving_address(story)
    client = story.holder(SHANGHAI, "seller")
    ended = threading.Semaphore(0)

    def send(number: int) -> str:
        transfer = client.transfers.CreateTransfer(
            ledger_pb2.CreateTransferRequest(
                request_id=story.cast.request_id("rush", number),
                from_account_id=story.found.seller,
                destination_region_code=SHENZHEN.code,
                receiving_address=address,
                units=ledger_pb2.UnitSelection(series_id=story.found.series_id, quantity_kg=RUSH_KG),
                wait_ms=WAIT_MS,
            )
        ).transfer
        if transfer.state in ENDED:
            ended.release()
        return str(transfer.transfer_id)

    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(send, number) for number in range(RUSH_COUNT)]
        for _ in range(KILL_AFTER):
            if not ended.acquire(timeout=WAIT_MS / 1000 * 4):
                break
        killed = story.federation.kill(BRIDGE_MEMBER)
        decided = KILL_AFTER + _drain(ended)
        story.require(
            "碳桥被 SIGKILL the bridge was killed in the middle",
            killed and decided in MIDDLE,
            f"当时已结束 ended by then: {decided} / {RUSH_COUNT}",
        )
        time.sleep(0.5)
        story.federation.start_missing([BRIDGE_MEMBER], report=story.session.output.step)
        transfers = [future.result() for future in futures]
    story.check("碳桥已重启 the bridge serves again", _serves(story))
    return transfers


def _drain(semaphore: threading.Semaphore) -> int:
    count = 0
    while semaphore.acquire(blocking=False):
        count += 1
    return count


def _serves(story: Story) -> bool:
    return next(state.serving for state in story.federation.states() if state.member is BRIDGE_MEMBER)


def _wait_for_all(story: Story, transfers: list[str]) -> dict[str, ledger_pb2.TransferState.ValueType]:
    """Ask for each transfer, as another office, until it has ended."""
    client = story.operator(SHANGHAI, "sh.exchange")
    states: dict[str, ledger_pb2.TransferState.ValueType] = {}

    def look() -> bool | None:
        for identifier in transfers:
            if states.get(identifier) not in ENDED:
                answer = client.transfers.GetTransfer(ledger_pb2.GetTransferRequest(transfer_id=identifier))
                states[identifier] = answer.transfer.state
        advance(sum(state in ENDED for state in states.values()))
        return True if all(state in ENDED for state in states.values()) else None

    with _progress(story, len(transfers)) as advance:
        story.wait_until("全部已决定 every transfer has ended", look)
    return states


@contextmanager
def _progress(story: Story, total: int) -> Iterator[Callable[[int], None]]:
    if story.session.output.as_json:
        yield lambda _count: None
        return
    with Progress(console=story.session.output.console, transient=True) as progress:
        task = progress.add_task("   已结束 ended", total=total)
        yield lambda count: progress.update(task, completed=count)


def _prove(story: Story) -> None:
    last: list[Conservation] = []

    def quiet() -> Conservation | None:
        try:
            result = check_federation(story.reader, [region.code for region in REGIONS])
        except DomainError as refusal:
            if refusal.symbol == "CONCURRENT_CHANGE":
                return None
            raise
        last[:] = [result]
        in_flight_kg = sum(balance.in_flight_kg for balance in result.series.values())
        return result if in_flight_kg == 0 or result.findings else None

    result = story.wait_until("在途清空 nothing in flight", quiet, seconds_max=CONSERVATION_SECONDS_MAX)
    balance = result.series[story.found.series_id]
    story.rows(
        ("系列 series", "签发 issued", "持有 held", "在途 in flight", "已用 used", "注销 cancelled"),
        [
            (
                story.found.series_id,
                balance.issued_kg,
                ", ".join(f"{region} {kg}" for region, kg in sorted(balance.held_by_region_kg.items())),
                balance.in_flight_kg,
                balance.used_kg,
                balance.cancelled_kg,
            )
        ],
    )
    for finding in result.findings[:10]:
        story.note(f"✗ {finding}")
    story.check(
        "三地与碳桥守恒 conservation over three regions and the bridge (PROTOCOL §7)",
        result.holds,
        f"{len(result.series)} 系列 series, 日志 log {result.log_size}",
    )
    for checked in check_nodes(story.session.home):
        story.check(f"fsck {checked.member.title}", checked.clean, checked.summary)
