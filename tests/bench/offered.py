"""Calls offered at a fixed rate whatever comes back: an open loop, in which waiting behind others counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

OPEN_MAX: Final = 2_000
"""Most calls under way: a node that falls behind shows it in its latency, not in an endless queue here."""
WAIT_SECONDS: Final = 120.0


def latencies_ms(
    offer: Callable[[], Any],
    count: int,
    per_second: int,
    fault: Callable[[Any], str],
    late_ms: list[float] | None = None,
) -> list[float]:
    """Offer so many calls at the rate, none waiting for another; how long each took, in milliseconds.

    Args:
        offer: begins one call and gives its future.
        count: how many.
        per_second: the rate.
        fault: says of an answer what is wrong with it; empty: nothing.
        late_ms: takes by how much the generator itself began each call too late: that counts too.

    Raises:
        TimeoutError: some were not answered in time.
        RuntimeError: some failed; with the first of their faults.
    """
    latencies: list[float] = []
    failed: list[str] = []
    room = threading.BoundedSemaphore(OPEN_MAX)
    all_done = threading.Event()
    lock = threading.Lock()

    def ended(future: Any, due: float) -> None:
        took_ms = (time.perf_counter() - due) * 1000
        try:
            wrong = fault(future.result())
        except Exception as error:  # noqa: BLE001 - told once, below
            wrong = str(error)
        with lock:
            if wrong:
                failed.append(wrong)
            latencies.append(took_ms)
            if len(latencies) == count:
                all_done.set()
        room.release()

    begun = time.perf_counter()
    for number in range(count):
        due = begun + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        room.acquire()
        if late_ms is not None:
            late_ms.append((time.perf_counter() - due) * 1000)
        offer().add_done_callback(lambda future, due=due: ended(future, due))
    if not all_done.wait(WAIT_SECONDS):
        raise TimeoutError(f"{count - len(latencies)} of the offered calls were not answered")
    if failed:
        raise RuntimeError(f"{len(failed)} of the offered calls failed: {failed[0]}")
    return latencies
