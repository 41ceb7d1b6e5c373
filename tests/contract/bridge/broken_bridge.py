"""A real bridge process whose disk breaks when it is told so; kept for the tests of bad luck.

Usage: ``python broken_bridge.py CONFIG``. Prints its address; then a line on its input breaks something:
``full`` (no room on the disk), ``writes`` (writes fail) and ``forced`` (forced writes fail) for good,
``limit`` (no file may grow) until ``room``. ``stop`` or the end of the input stops it in order.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

from tanqiao.rpc.process import set_up_logging
from tanqiao.testing import disk_faults
from tanqiao_bridge.bootstrap import build
from tanqiao_bridge.settings import load_settings

FAULTS: dict[str, Callable[[], None]] = {
    "full": disk_faults.fill_disk,
    "writes": disk_faults.break_writes,
    "forced": disk_faults.break_forced_writes,
    "limit": lambda: disk_faults.limit_file_size(1),
    "room": lambda: disk_faults.limit_file_size(None),
}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_up_logging()
    bridge = build(load_settings(Path(sys.argv[1])))
    bridge.start()
    print(bridge.server.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        FAULTS[line.strip()]()
        print("done", flush=True)
    bridge.stop()
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
