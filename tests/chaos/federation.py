"""Processes whose regions reach the bridge over a bad wire."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import HOST, Home, write_private
from tanqiao.cli.local.members import BRIDGE_MEMBER, Member, RegionMember
from tanqiao.signing.certificates import TlsFiles
from tests.chaos.wire import Repeater, Wire
from tests.e2e.test_restarts import ReapingFederation

DUPLICATES: Final = 0.1
"""Share of the frames that go twice, while the weather is bad."""


class ChaosFederation(ReapingFederation):
    """Puts a wire between each region and the bridge when the region is first started."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.faults: Counter[str] = Counter()
        self.wires: list[Wire] = []
        self.bad = False
        self.seed = 0
        self._repeaters: dict[str, Repeater] = {}

    def _spawn(self, member: Member) -> tuple[subprocess.Popen[bytes], int]:
        if isinstance(member, RegionMember) and member.name not in self._repeaters:
            self._rewire(member)
        return super()._spawn(member)

    def _rewire(self, member: Member) -> None:
        bridge = f"{HOST}:{self.home.require_made().ports[BRIDGE_MEMBER.name]}"
        chance = Random(f"{self.seed} {member.name}")
        repeater = Repeater(
            bridge,
            TlsFiles.of(self.home.node(BRIDGE_MEMBER) / "tls"),
            TlsFiles.of(self.home.node(member) / "tls"),
            chance,
            lambda: DUPLICATES if self.bad else 0.0,
            self.faults,
        )
        wire = Wire(repeater.address, chance, self.faults)
        self._repeaters[member.name] = repeater
        self.wires.append(wire)
        config: Path = self.home.config(member)
        text = config.read_text(encoding="utf-8")
        write_private(config, text.replace(f'"{bridge}"', f'"{wire.address}"'))

    def close_wires(self) -> None:
        """End the wires."""
        for wire in self.wires:
            wire.close()
        for repeater in self._repeaters.values():
            repeater.close()


__all__ = ["ChaosFederation", "LocalFederation"]
