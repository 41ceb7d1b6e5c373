"""`tanqiao witness` as it runs at a regulator's: a process of its own, killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tanqiao.signing.logs import witness_policy
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao.tlog.policy import verify_checkpoint
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import WitnessMaker, trade, wait_for

STOP_SECONDS_MAX = 60


@contextmanager
def witness_process(running: Running, party: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one by its command line; killed at the end if it still runs."""
    node = running.network.network.node(party)
    folder.mkdir(exist_ok=True)
    values = {
        "network_id": running.network.network_id,
        "bridge_address": running.address,
        "database_url": f"sqlite:///{folder}/witness.sqlite",
        "tls_directory": str(node / "tls"),
        "keys_directory": str(node / "keys"),
        "federation_file": str(node / "federation.json"),
    }
    config = folder / "config.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    command = [sys.executable, "-m", "tanqiao.cli.main", "witness", "--config", str(config)]
    with (folder / "witness.log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(STOP_SECONDS_MAX)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_witness_of_a_third_party_is_killed_comes_back_and_makes_the_quorum(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker, tmp_path: Path
) -> None:
    keeper = running.bridge.logs.keeper

    def is_final() -> bool:
        found = keeper.checkpoints(BRIDGE).cosigned
        return found is not None and found.size >= size

    trade(running, shanghai, 5)
    size = witnesses.sealed()
    neighbour = witnesses.make(SHANGHAI)
    neighbour.start()
    folder = tmp_path / "regulator"
    try:
        with witness_process(running, SHENZHEN, folder):
            wait_for(is_final)
        # SIGKILL, wherever it stood; the log goes on meanwhile and nothing of it becomes final.
        running.recognise("A-2")
        size = witnesses.sealed()
        assert not is_final()
        with witness_process(running, SHENZHEN, folder) as process:
            wait_for(is_final)
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS_MAX) == 0
    finally:
        neighbour.stop()
    network = running.network
    policy = witness_policy(network.network_id, network.directory, keeper.group)
    cosigned = keeper.checkpoints(BRIDGE).cosigned
    assert cosigned is not None
    assert set(verify_checkpoint(cosigned.note, policy).witnesses) == {SHANGHAI, SHENZHEN}
    assert not (folder / "evidence").exists()
    assert '"ready"' in (folder / "witness.log").read_text()
