"""The real programs under test, each a process of its own: started, watched, measured, stopped.

What a server says about a fault of its own stands in its log: a line of level error, or a traceback.
Memory is the resident set that the kernel shows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tanqiao_bridge.settings import Settings as BridgeSettings
from tanqiao_region.settings import Settings as RegionSettings

STOP_SECONDS: Final = 30.0
KIB: Final = 1024
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
FAULT_LINES_MAX: Final = 20


@dataclass
class Served:
    """A server process."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path
    _read: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def resident_kib(self) -> int:
        """Resident set of the process."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * PAGE_BYTES // KIB

    def faults(self) -> list[str]:
        """Read what the log says since the last look: faults of its own; reason codes are counted."""
        if self.process.poll() is not None:
            return [f"the server ended with {self.process.returncode}: {self.log.read_text()[-2000:]}"]
        with self.log.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        whole = data.rfind(b"\n") + 1
        self._read += whole
        found = []
        for line in data[:whole].decode(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                found.append(line)  # no line of the service's own: a traceback, or a library's complaint
                continue
            reasons = entry.get("reasons") or [entry.get("reason")]
            self.codes.update(str(one) for one in reasons if one)
            if entry.get("level") in {"error", "critical"} or "INTERNAL" in reasons:
                found.append(line[:4000])
        return found[:FAULT_LINES_MAX]

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def serve(settings: BridgeSettings | RegionSettings, folder: Path, name: str) -> Served:
    """Start the shipped program on a file of settings and wait until it serves."""
    module = "tanqiao_bridge.main" if isinstance(settings, BridgeSettings) else "tanqiao_region.main"
    config, log = folder / f"{name}.toml", folder / f"{name}.log"
    config.write_text(_toml(settings))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=out,
        )
    assert process.stdout is not None
    ready = process.stdout.readline()
    if not ready:
        process.wait()
        raise AssertionError(f"{name} does not serve: {log.read_text()[-2000:]}")
    return Served(process, json.loads(ready)["address"], log)


def _toml(settings: BridgeSettings | RegionSettings) -> str:
    """Write settings as the file that an operator writes."""
    names = [
        "network_id",
        "listen",
        "database_url",
        "owner_database_url",
        "tls_directory",
        "keys_directory",
        "federation_file",
    ]
    if isinstance(settings, RegionSettings):
        names += ["region_code", "bridge_address", "rule_pack"]
    lines = [f"{name} = {json.dumps(str(getattr(settings, name)))}" for name in names]
    if isinstance(settings, BridgeSettings):
        lines.append(f"decide_by_seconds = {settings.decide_by_seconds}")
    if settings.test_clock_start is not None:
        lines.append(f"test_clock_start = {json.dumps(settings.test_clock_start.isoformat())}")
    return "\n".join(lines) + "\n"
