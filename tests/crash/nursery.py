"""``python -m tests.crash.nursery``: starts nodes by forking itself, with everything imported already.

A kill test starts a node some thirty times; a fresh interpreter takes seconds each time, most of it imports,
and on a busy machine that was longer than callers had patience. A fork takes a tenth of it. What is born is
a process of its own like any other: its own session, log, database and ports, and it dies by SIGKILL. It
does so at the point that stands in the file `FATE` of its directory, if there is one: no start for that.

One JSON object a line comes in and one goes out: a start gives the number of the process, a look its exit
code or null while it runs. It forks with one thread and before gRPC was ever used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.crash.failpoints import Armed, Edge, Failpoints, Life, parse_point

PARTS: Final = ("tanqiao_bridge", "tanqiao_gateway", "tanqiao_region")
POLL_SECONDS: Final = 0.02
FATE: Final = "fate"


def main() -> None:
    """Answer until the other end is closed; what was born goes on."""
    for part in PARTS:
        for module in ("main", "bootstrap"):
            import_module(f"{part}.{module}")
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _bear(asked) if "module" in asked else _look(asked["pid"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _bear(asked: dict[str, Any]) -> int:
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        os.setsid()
        os.chdir(asked["folder"])
        with Path(asked["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
            for stream, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(stream.fileno(), target)
        sys.argv = [asked["module"], *asked["arguments"]]
        points = _Fated(Path(asked["folder"]) / FATE)
        points.only_life = Life(asked["party"], None)
        with points.installed():
            import_module(asked["module"]).main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - whatever it is, a child of the loop must not come back to it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Fated(Failpoints):
    """Arms itself with the point of a file when that is there."""

    def __init__(self, fate: Path) -> None:
        super().__init__()
        self._fate = fate

    def reach(self, life: Life, edge: Edge, phase: str) -> Armed | None:
        """Come to an edge, which is counted from the one on at which the file was there."""
        if not self._armed and self._fate.exists():
            self.arm(Armed(parse_point(self._fate.read_text(encoding="ascii"))))
        return super().reach(life, edge, phase)


def _look(number: int) -> int | None:
    found, status = os.waitpid(number, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


class Nursery:
    """The other end: asks for nodes to be born."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
            # Ctrl-C at the terminal is for the one who asked.
            start_new_session=True,
        )

    def start(self, party: str, module: str, arguments: list[str], folder: Path, log: Path) -> Born:
        """Start a node; `party` is its letter in the names of points."""
        asked = {
            "party": party,
            "module": module,
            "arguments": arguments,
            "folder": str(folder.resolve()),
            "log": str(log.resolve()),
        }
        return Born(self, self.ask(asked))

    def ask(self, asked: dict[str, Any]) -> Any:
        """Give the answer to one question."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"the nursery ended with {self._process.wait()}"
        return json.loads(line)

    def close(self) -> None:
        """End it; who was born goes on."""
        self._process.communicate()


class Born:
    """A process that the nursery started, as `subprocess.Popen` shows its own."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """Give the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the exit code."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_SECONDS)
        return code


if __name__ == "__main__":
    main()
