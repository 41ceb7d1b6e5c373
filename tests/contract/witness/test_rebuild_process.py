"""The verbs of docs/recovery.md for a bridge that was lost with its backups, each as a process of its own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.ports import free_ports
from tanqiao.signing.provision import recovery_key_file
from tanqiao.signing.recovery_key import PUBLIC_NAME
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, NetworkOfTest, make_network
from tanqiao.witnessing.follower import Offered
from tanqiao.witnessing.remote import RemoteLog
from tests.contract.bridge.harness import START, PlayedRegion, Running
from tests.contract.witness.harness import trade, wait_for
from tests.contract.witness.test_process import STOP_SECONDS_MAX, witness_process

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
COMMAND_SECONDS_MAX = 120
PASSPHRASE = "an invented passphrase"


@dataclass
class Machine:
    """The machine of the bridge: its settings, its database, and its programs."""

    network: NetworkOfTest
    folder: Path
    address: str

    @property
    def config(self) -> Path:
        """The settings file; written again where it is missing."""
        path, node = self.folder / "config.toml", self.network.network.node(BRIDGE)
        self.folder.mkdir(exist_ok=True)
        values = {
            "network_id": self.network.network_id,
            "listen": self.address,
            "database_url": f"sqlite:///{self.folder}/node.db",
            "tls_directory": str(node / "tls"),
            "keys_directory": str(node / "keys"),
            "federation_file": str(node / "federation.json"),
            "test_clock_start": START,
        }
        path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        return path

    def run(self, program: str, verb: str, *options: str, config: Path | None = None, code: int = 0) -> str:
        """Run a verb to its end; what it said."""
        command = [sys.executable, "-m", program, verb, "--config", str(config or self.config), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """Serve; killed at the end if it still runs."""
        command = [sys.executable, "-m", "tanqiao_bridge.main", "serve", "--config", str(self.config)]
        with (self.folder.parent / "bridge.log").open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait(STOP_SECONDS_MAX)

    def log(self) -> Offered:
        """Give how far the log is and what of it a quorum has cosigned; nothing while nobody serves."""
        with open_channel(self.address, self.network.network.tls(SHANGHAI)) as channel:
            grpc.channel_ready_future(channel).result(COMMAND_SECONDS_MAX)
            return RemoteLog(channel, self.address).checkpoint(0)

    def is_final(self, least: int = 1) -> bool:
        """Whether every leaf is cosigned by a quorum, and there are so many."""
        log = self.log()
        return log.cosigned_size == log.log_size >= least


def test_the_verbs_bring_a_bridge_back_on_an_empty_machine(tmp_path: Path) -> None:
    network = make_network(tmp_path / "network", quorum=2)
    machine = Machine(network, tmp_path / "bridge", f"127.0.0.1:{free_ports(1)[0]}")
    home, private = network.network.home, tmp_path / "recovery.key"
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    # The recovery key is made by its verb, not by provisioning.
    recovery_key_file(home).unlink()
    (network.network.node(BRIDGE) / "keys" / PUBLIC_NAME).unlink()
    with_passphrase = ("--passphrase-file", str(tmp_path / "passphrase"))
    made = machine.run("tanqiao_bridge.main", "recovery-key", "--to", str(private), *with_passphrase)
    assert PUBLIC_NAME in made
    machine.run("tanqiao_bridge.main", "recovery-key", "--to", str(private), code=2)

    running: Any = Running(network, SimpleNamespace(server=SimpleNamespace(address=machine.address)))  # type: ignore[arg-type]
    witnesses = {party: tmp_path / party[-6:] for party in (SHANGHAI, SHENZHEN)}
    with ExitStack() as stack:
        with machine.serving() as bridge:
            machine.log()
            shanghai = PlayedRegion(running, SHANGHAI).connect()
            shenzhen = PlayedRegion(running, SHENZHEN).connect()
            following = [stack.enter_context(witness_process(running, *one)) for one in witnesses.items()]
            trade(running, shanghai, 5)
            size = machine.log().log_size
            wait_for(lambda: machine.is_final(size))
            bridge.send_signal(signal.SIGKILL)
            bridge.wait(STOP_SECONDS_MAX)
        shanghai.disconnect()
        shenzhen.disconnect()
        shutil.rmtree(machine.folder)

        mirrors = []
        for party, folder in witnesses.items():
            mirrors.append(tmp_path / f"{party[-6:]}.mirror")
            said = machine.run(
                "tanqiao.cli.main",
                "mirror",
                "--to",
                str(mirrors[-1]),
                "--json",
                config=folder / "config.toml",
            )
            assert json.loads(said) == {"file": str(mirrors[-1]), "leaves": size}
        restore = (
            "--root",
            str(home / "authorities" / "bridge" / "root"),
            "--recovery-key",
            str(private),
            "--recovery-passphrase-file",
            str(tmp_path / "passphrase"),
        )
        first, second = (["--from-mirror", str(one)] for one in mirrors)
        refused = machine.run("tanqiao_bridge.main", "restore", *restore, *first, code=2)
        assert "MIRRORS_MISSING" in refused
        said = machine.run("tanqiao_bridge.main", "restore", *restore, *first, *second)
        assert f"rebuilt: {size} leaves" in said
        assert f"epoch 2 continues from log index {size}" in said
        assert "ALREADY_EXISTS" in machine.run(
            "tanqiao_bridge.main", "restore", *restore, *first, *second, code=2
        )
        machine.run("tanqiao_bridge.main", "fsck")
        # The same witnesses, which nobody stopped, go on with the rebuilt log.
        with machine.serving():
            wait_for(lambda: machine.is_final(size + 1))
            assert all(process.poll() is None for process in following)
