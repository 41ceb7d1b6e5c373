"""A region's process in bad surroundings.

One line that says what to do, an exit code, and clean books afterwards.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tanqiao.cli.local.home import Choice, Home
from tanqiao.cli.local.members import MEMBERS, SHANGHAI, network_plan
from tanqiao.cli.local.settings import write_settings
from tanqiao.rpc.ports import free_ports
from tanqiao.signing.pepper import PEPPER_NAME
from tanqiao.signing.provision import provision_network
from tanqiao_region.application.fsck import check
from tanqiao_region.settings import load_settings

SECONDS_MAX = 200
EXIT_USAGE, EXIT_UNREACHABLE = 2, 3
LINE = re.compile(r"^[A-Z][A-Z0-9_]+: .+ / .*[\u4e00-\u9fff].*$")

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def run(home: Home, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the node; `serve` that does not end by itself fails the test."""
    return subprocess.run(
        [sys.executable, "-m", SHANGHAI.module, command, "--config", str(home.config(SHANGHAI))],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        cwd=home.node(SHANGHAI),
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Shanghai's directory, its database migrated; each test puts back what it spoilt."""
    made = Home(tmp_path_factory.mktemp("faults") / "home")
    made.path.mkdir(mode=0o700)
    provision_network(made.path, network_plan(), now=datetime.now(UTC))
    ports = dict(zip((member.name for member in MEMBERS), free_ports(len(MEMBERS)), strict=True))
    write_settings(made, Choice("sqlite", ports))
    assert run(made, "migrate").returncode == 0
    return made


def require_clean_books(home: Home) -> None:
    """Check the books as `tanqiao-region fsck` does, without a process of its own."""
    with chdir(home.node(SHANGHAI)):
        settings = load_settings(home.config(SHANGHAI))
        report = check(settings.database_url, settings.federation_file)
    assert report.clean, report.as_text()


def edit(home: Home, old: str, new: str) -> None:
    """Change the settings."""
    config = home.config(SHANGHAI)
    text = config.read_text(encoding="utf-8")
    assert re.search(old, text), text
    config.write_text(re.sub(old, new, text), encoding="utf-8")


def _open_key(home: Home) -> Callable[[], None]:
    return _opened(next(one for one in _keys(home) if one.name != PEPPER_NAME))


def _open_pepper(home: Home) -> Callable[[], None]:
    return _opened(next(one for one in _keys(home) if one.name == PEPPER_NAME))


def _keys(home: Home) -> list[Path]:
    return sorted((home.node(SHANGHAI) / "keys").glob("*.key"))


def _opened(key: Path) -> Callable[[], None]:
    key.chmod(0o644)
    return lambda: key.chmod(0o600)


def _no_directory(home: Home) -> Callable[[], None]:
    edit(home, r"sqlite:///data/", "sqlite:///nowhere/")
    return lambda: edit(home, r"sqlite:///nowhere/", "sqlite:///data/")


def _no_keys(home: Home) -> Callable[[], None]:
    keys = home.node(SHANGHAI) / "keys"
    keys.rename(keys.with_name("elsewhere"))
    return lambda: None if keys.exists() else (keys.with_name("elsewhere").rename(keys), None)[1]


def _other_region(home: Home) -> Callable[[], None]:
    edit(home, '"310000"', '"440300"')
    return lambda: edit(home, '"440300"', '"310000"')


def _other_network(home: Home) -> Callable[[], None]:
    edit(home, '"test-local"', '"test-other"')
    return lambda: edit(home, '"test-other"', '"test-local"')


def _no_pack(home: Home) -> Callable[[], None]:
    edit(home, "sh_draft", "xx_draft")
    return lambda: edit(home, "xx_draft", "sh_draft")


def _unknown_setting(home: Home) -> Callable[[], None]:
    config = home.config(SHANGHAI)
    text = config.read_text(encoding="utf-8")
    config.write_text('colour = "blue"\n' + text, encoding="utf-8")
    return lambda: _write(config, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _expired(home: Home) -> Callable[[], None]:
    """Put the certificate of a network that was made long ago in the place of the node's."""
    past = home.path.parent / "past"
    past.mkdir(mode=0o700)
    network = provision_network(past, network_plan(), now=datetime.now(UTC) - timedelta(days=365 * 30))
    tls = home.node(SHANGHAI) / "tls"
    kept = {path.name: path.read_bytes() for path in tls.iterdir()}
    for path in network.node(SHANGHAI.party).joinpath("tls").iterdir():
        (tls / path.name).write_bytes(path.read_bytes())

    def restore() -> None:
        for name, data in kept.items():
            (tls / name).write_bytes(data)

    return restore


FAULTS: dict[str, tuple[Callable[[Home], Callable[[], None]], set[str]]] = {
    "a key that others may read": (_open_key, {"KEY_FILE_PERMISSIONS"}),
    "a pepper that others may read": (_open_pepper, {"KEY_FILE_PERMISSIONS"}),
    "a missing data directory": (_no_directory, {"DIRECTORY_MISSING"}),
    "a missing key directory": (_no_keys, {"DIRECTORY_MISSING", "FILE_MISSING", "KEY_FILE_INVALID"}),
    "keys of another region": (_other_region, {"SETTING_INVALID"}),
    "another network": (_other_network, {"SETTING_INVALID"}),
    "no such rule pack": (_no_pack, {"SETTING_INVALID"}),
    "a setting that nobody knows": (_unknown_setting, {"SETTING_INVALID"}),
    "an expired certificate": (_expired, {"CERTIFICATE_EXPIRED", "CERTIFICATE_INVALID"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_node_that_cannot_start_says_why_in_one_line_and_leaves_clean_books(name: str, home: Home) -> None:
    spoil, symbols = FAULTS[name]
    restore = spoil(home)
    try:
        answer = run(home, "serve")
    finally:
        restore()
    assert answer.returncode == EXIT_USAGE, answer.stderr
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert LINE.match(lines[0]), lines
    assert lines[0].partition(":")[0] in symbols, lines
    assert not answer.stdout
    require_clean_books(home)


def test_the_command_that_checks_the_books_finds_them_clean(home: Home) -> None:
    answer = run(home, "fsck")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_taken_port_is_told_in_one_line(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = home.config(SHANGHAI)
        text = config.read_text(encoding="utf-8")
        edit(home, r'listen = "127.0.0.1:\d+"', f'listen = "127.0.0.1:{taken.getsockname()[1]}"')
        answer = run(home, "serve")
        _write(config, text)
    assert answer.returncode == EXIT_USAGE, answer.stderr
    assert answer.stderr.strip().splitlines()[-1].startswith("PORT_TAKEN: ")
    assert "Traceback" not in answer.stderr
    require_clean_books(home)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to what is read-only")
def test_a_database_that_may_only_be_read_is_told_in_one_line(home: Home) -> None:
    file = next((home.node(SHANGHAI) / "data").glob("*.sqlite"))
    file.chmod(0o400)
    answer = run(home, "serve")
    file.chmod(0o600)
    assert answer.stderr.startswith("DATABASE_READ_ONLY: "), answer.stderr
    require_clean_books(home)
