"""What every serving process does alike.

Logging without secrets, one ready line, a clean stop, one-line refusals.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from tanqiao.kernel.errors import DomainError

EXIT_FINDINGS: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_FAULT: Final = 4
COLLECTOR_THRESHOLDS: Final = (50_000, 20, 50)
"""New objects before a collection, and collections of a generation before one of the next."""

_UNREACHABLE: Final = frozenset({"DATABASE_UNAVAILABLE", "PEER_UNREACHABLE", "BUSY", "DEADLINE_EXCEEDED"})


def set_up_logging() -> None:
    """Log one JSON object a line to standard error.

    Nothing secret and nothing personal is ever given to it.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # or a fault's line would not say where it was
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def announce_ready(kind: str, address: str) -> None:
    """Print the one JSON line that says where the process serves."""
    print(json.dumps({"ready": kind, "address": address, "pid": os.getpid()}), flush=True)  # noqa: T201 - its answer


def serve_until_stopped() -> None:
    """Block until SIGTERM or SIGINT."""
    _spare_the_collector()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    while not stop.wait(1.0):
        pass


def _spare_the_collector() -> None:
    """Let the garbage collector leave alone what was loaded at the start, and run less often.

    A batch makes tens of thousands of objects without a cycle; looking through them took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


@contextmanager
def exit_on_refusal() -> Iterator[None]:
    """Turn a refusal into one line that says what to do, and its exit code."""
    try:
        yield
    except DomainError as refusal:
        line = (
            f"{refusal.symbol}: {refusal.sentence_with_article('en')} / {refusal.sentence_with_article('zh')}"
        )
        if refusal.unsaid:
            line += f" · {refusal.unsaid}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - what the person sees
        raise SystemExit(EXIT_UNREACHABLE if refusal.symbol in _UNREACHABLE else EXIT_USAGE) from None
