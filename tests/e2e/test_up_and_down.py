"""Starting and stopping a federation, and everything that stands in the way."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tanqiao.tlog.merkle import hash_leaf, inclusion_proof, verify_inclusion
from tanqiao.tlog.policy import parse_policy, satisfied, verify_checkpoint
from tanqiao.tlog.reading import LogReader
from tanqiao.tlog.tiles import Tile
from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]
NODES = ["ccer", "gec", "bridge", "shanghai", "shenzhen", "yunnan"]


def _pids(status: dict[str, Any]) -> dict[str, int]:
    return {node["name"]: node["pid"] for node in status["nodes"]}


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_up_twice_is_one_federation_and_down_stops_it(tanqiao: CommandLine) -> None:
    first = tanqiao.ok("up")
    assert [node["name"] for node in first["nodes"]] == NODES
    assert all(node["serving"] for node in first["nodes"])
    second = tanqiao.ok("up")
    assert _pids(second) == _pids(first)
    regions = {one["region"]: one["connected"] for one in tanqiao.ok("regions")["regions"]}
    assert set(regions) == {"region/310000", "region/440300", "region/530000"}
    assert sorted(tanqiao.ok("down")["stopped"]) == sorted(NODES)
    assert not any(_alive(pid) for pid in _pids(first).values())
    answer = tanqiao("status")
    assert answer.code == 3
    assert tanqiao.ok("down") == {"stopped": []}
    again = tanqiao.ok("up")
    assert {node["address"] for node in again["nodes"]} == {node["address"] for node in first["nodes"]}


def test_a_node_that_died_is_started_again_and_the_others_are_left_alone(running: CommandLine) -> None:
    before = _pids(running.ok("status"))
    os.kill(before["yunnan"], signal.SIGKILL)
    while _alive(before["yunnan"]):
        time.sleep(0.05)
    assert running("status").code == 3
    after = _pids(running.ok("up"))
    assert after.pop("yunnan") != before.pop("yunnan")
    assert after == before


def test_status_says_what_waits_for_the_witnesses_and_the_log_is_there_over_https(
    running: CommandLine,
) -> None:
    nodes = {node["name"]: node for node in running.ok("status")["nodes"]}
    assert "finality" not in nodes["bridge"]
    assert nodes["shanghai"]["finality"]["quorum"] == 2
    assert nodes["shanghai"]["alarms"] == []
    assert nodes["shanghai"]["finality"]["oldest_pending_seconds"] == 0
    assert "p99" in running("status").out
    policy_file = running.cwd / "https.policy"
    running.ok("prove", "policy", "--out", str(policy_file))
    policy = parse_policy(policy_file.read_bytes())
    port = json.loads((running.home / "home.json").read_text(encoding="utf-8"))["ports"]["log"]
    context = ssl.create_default_context(cafile=str(running.home / "network" / "ca.pem"))
    line = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)

    def get(path: str) -> bytes:
        line.request("GET", path)
        answer = line.getresponse()
        assert answer.status == 200, path
        return answer.read()

    until = time.monotonic() + 120
    while not satisfied(get("/checkpoint"), policy):
        assert time.monotonic() < until, "no checkpoint has a quorum"
        time.sleep(0.2)
    tree = verify_checkpoint(get("/checkpoint"), policy).checkpoint

    class Files:
        """The log's folder; nothing of it is believed before it hashes to the root."""

        def read_tile(self, tile: Tile) -> bytes:
            return get(f"/{tile.path}")

    reader = LogReader(tree.size, tree.root, Files())
    index, entry = next(iter(reader.entries(tree.size - 1)))
    proof = inclusion_proof(index, tree.size, reader)
    verify_inclusion(index, tree.size, hash_leaf(entry), proof, tree.root)
    line.close()


def test_a_taken_port_is_one_message_that_names_it(stopped: CommandLine) -> None:
    port = json.loads((stopped.home / "home.json").read_text(encoding="utf-8"))["ports"]["bridge"]
    with socket.create_server(("127.0.0.1", port)):
        code, error = stopped.refused("up")
    assert (code, error["reason"]) == (2, "PORT_TAKEN")
    assert f"127.0.0.1:{port}" in error["sentence_en"]
    assert stopped.ok("down") == {"stopped": []}


def test_a_missing_directory_is_one_message_that_says_what_to_do(tanqiao: CommandLine) -> None:
    answer = tanqiao("accounts", "list", "--region", "shanghai")
    assert answer.code == 2
    assert "DIRECTORY_MISSING" in answer.err
    assert "tanqiao up" in answer.err
    assert len(answer.err.splitlines()) <= 4


def test_a_home_that_cannot_be_made_is_one_message(tanqiao: CommandLine) -> None:
    (tanqiao.cwd / "file").write_text("", encoding="utf-8")
    answer = tanqiao("up", "--home", str(tanqiao.cwd / "file" / "home"), "--json")
    assert (answer.code, answer.json["error"]["reason"]) == (2, "SETTING_INVALID")


def test_a_key_that_others_may_read_stops_the_start_with_its_name(stopped: CommandLine) -> None:
    key = max((stopped.home / "shanghai" / "keys").glob("*.key"))
    key.chmod(0o644)
    try:
        code, error = stopped.refused("up")
    finally:
        key.chmod(0o600)
    assert code in {2, 3}
    assert "KEY_FILE_PERMISSIONS" in json.dumps(error)
    assert str(key.name) in json.dumps(error)
    assert stopped.ok("down") == {"stopped": []}


def test_a_stale_run_file_ends_nobody(stopped: CommandLine) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    entry = {"name": "bridge", "pid": stranger.pid, "mark": "another boot/1", "address": "127.0.0.1:1"}
    try:
        (stopped.home / "run.json").write_text(json.dumps({"nodes": {"bridge": entry}}), encoding="utf-8")
        assert stopped.ok("down") == {"stopped": []}
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_kind_of_database_needs_another_home(stopped: CommandLine) -> None:
    code, error = stopped.refused("up", "--databases", "postgres")
    assert (code, error["reason"]) == (2, "SETTING_INVALID")


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("while-it-starts", signal.SIGINT),
        ("while-it-starts", signal.SIGTERM),
        ("when-it-serves", signal.SIGINT),
    ],
)
def test_ctrl_c_is_clean(tanqiao: CommandLine, moment: str, number: int) -> None:
    run_file = tanqiao.home / "run.json"
    with subprocess.Popen(
        tanqiao.command("up", "--foreground"),
        cwd=tanqiao.cwd,
        env=tanqiao.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        if moment == "while-it-starts":
            while not run_file.exists():
                assert process.poll() is None
                time.sleep(0.01)
        else:
            said_so_far = ""
            while "Ctrl-C" not in said_so_far:
                line = process.stdout.readline()
                assert line, said_so_far
                said_so_far += line
        pids = [node["pid"] for node in json.loads(run_file.read_text(encoding="utf-8"))["nodes"].values()]
        process.send_signal(number)
        said = process.stdout.read()
        assert process.wait(timeout=120) == (130 if moment == "while-it-starts" else 0)
    assert "Traceback" not in said
    assert pids
    assert not any(_alive(pid) for pid in pids)


def test_a_verb_without_its_node_says_that_it_cannot_be_reached(stopped: CommandLine) -> None:
    code, error = stopped.refused("accounts", "list", "--region", "shanghai")
    assert (code, error["reason"]) == (3, "PEER_UNREACHABLE")
