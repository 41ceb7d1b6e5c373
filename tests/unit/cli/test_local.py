"""The local federation on paper: members, settings, processes, its files."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from tanqiao.cli.acting import ROLES, role_for
from tanqiao.cli.local import processes
from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import Choice, Home, read_json, write_private
from tanqiao.cli.local.members import (
    BRIDGE_MEMBER,
    GATEWAYS,
    MEMBERS,
    NETWORK_ID,
    REGIONS,
    RegionMember,
    find_region,
    network_plan,
)
from tanqiao.cli.local.settings import settings_of, to_toml
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.settings import load_settings as load_bridge_settings
from tanqiao_gateway.settings import load_settings as load_gateway_settings
from tanqiao_region.settings import load_settings as load_region_settings

CHOICE = Choice("sqlite", {member.name: member.port for member in MEMBERS})


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
def test_operators_have_the_roles_of_the_rule_pack_in_its_order(region: RegionMember) -> None:
    text = (files("tanqiao_region.rulepacks") / region.rule_pack / "roles.toml").read_text("utf-8")
    assert region.roles == tuple(entry["role"] for entry in tomllib.loads(text)["roles"])


@pytest.mark.parametrize("act", sorted(ROLES))
@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
def test_every_act_is_done_by_a_role_that_the_region_has(act: str, region: RegionMember) -> None:
    assert role_for(act, region) in region.roles


def test_ports_directories_and_parties_are_different_and_the_network_is_for_tests() -> None:
    assert len({member.port for member in MEMBERS}) == len(MEMBERS)
    assert len({member.name for member in MEMBERS}) == len(MEMBERS)
    assert {party for _, party in network_plan().nodes()} == {member.party for member in MEMBERS}
    assert NETWORK_ID.startswith("test-")


@pytest.mark.parametrize("text", ["310000", "Shanghai", "region/310000", "上海"])
def test_a_region_is_found_by_code_name_and_party(text: str) -> None:
    found = find_region(text)
    assert found is not None
    assert found.code == "310000"


@pytest.mark.parametrize("urls", [None, ("postgresql+psycopg://o@h/d", "postgresql+psycopg://s@h/d")])
def test_each_program_takes_the_settings_that_are_written_for_it(
    tmp_path: Path, urls: tuple[str, str] | None
) -> None:
    for member in MEMBERS:
        config = tmp_path / member.name / "config.toml"
        config.parent.mkdir()
        config.write_text(to_toml(settings_of(member, CHOICE, urls)), encoding="utf-8")
        if isinstance(member, RegionMember):
            region = load_region_settings(config)
            assert (region.region_code, region.bridge_address) == (member.code, "127.0.0.1:7400")
            assert region.owner_database_url == ("" if urls is None else urls[0])
        elif member in GATEWAYS:
            assert load_gateway_settings(config).registry == member.name
        else:
            bridge = load_bridge_settings(config)
            assert bridge.gateways == {"ccer": "127.0.0.1:7461", "gec": "127.0.0.1:7462"}
            assert bridge.test_clock_start is not None
            assert bridge.test_clock_start.isoformat() == "2026-03-02T01:00:00+00:00"


def test_a_home_that_was_never_made_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as caught:
        Home(tmp_path / "nothing").require_made()
    assert caught.value.symbol == "DIRECTORY_MISSING"
    assert LocalFederation(Home(tmp_path / "nothing")).down(report=lambda _line: None) == []


def test_a_damaged_home_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text('{"databases": "dbase"}', encoding="utf-8")
    with pytest.raises(DomainError) as caught:
        Home(tmp_path).choice()
    assert caught.value.symbol == "SETTING_INVALID"
    assert "home.json" in caught.value.metadata["detail"]


def test_private_files_are_read_by_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "run.json", "{}")
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600
    assert read_json(tmp_path / "run.json") == {}


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_process_is_known_by_number_and_beginning() -> None:
    process = _sleeper()
    try:
        mark = processes.start_mark(process.pid)
        assert mark is not None
        assert processes.is_running(process.pid, mark)
        assert not processes.is_running(process.pid, f"{mark}0")
        assert processes.start_mark(os.getpid()) != mark
    finally:
        process.kill()
        process.wait()
    assert not processes.is_running(process.pid, mark)


def test_a_number_that_belongs_to_another_process_by_now_is_left_alone() -> None:
    process = _sleeper()
    try:
        assert processes.stop(process.pid, "another boot/1") is True
        assert processes.kill(process.pid, "another boot/1") is False
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_process_that_does_not_listen_is_ended_all_the_same() -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    mark = processes.start_mark(process.pid)
    assert mark is not None
    assert processes.stop(process.pid, mark, seconds_max=0.3) is False
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


_LISTENER_OF_MANY_THREADS = """
import random, socket, threading, time
port = None
while port is None:  # not one that the system gives to whoever connects somewhere meanwhile
    try:
        port = socket.create_server(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError:
        continue
memory = bytearray(64 * 1024 * 1024)
for _ in range(30):
    threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)], daemon=True).start()
print(port.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_a_killed_process_is_gone_only_when_its_port_is_free() -> None:
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", _LISTENER_OF_MANY_THREADS], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            mark = processes.start_mark(process.pid)
            assert mark is not None
            assert processes.kill(process.pid, mark)
            socket.create_server(("127.0.0.1", port)).close()


def test_ctrl_c_waits_until_a_started_process_is_recorded() -> None:
    recorded = []

    def start() -> None:
        with processes.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            recorded.append("process")
        recorded.append("the next one")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert recorded == ["process"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stale_run_file_names_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path)
    entry = {"name": "bridge", "pid": os.getpid(), "mark": "another boot/1", "address": "127.0.0.1:1"}
    home.run_file.write_text(
        f'{{"nodes": {{"bridge": {str(entry).replace(chr(39), chr(34))}}}}}', encoding="utf-8"
    )
    assert LocalFederation(home).started() == {}
    assert LocalFederation(home).kill(BRIDGE_MEMBER) is False
