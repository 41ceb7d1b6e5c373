"""The containers of `compose/` run programs, commands and settings that exist, and run them confined."""

from __future__ import annotations

import copy
import importlib
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url

from compose import prepare
from tanqiao.cli.local.home import DIRECTORY_MODE, PRIVATE_FILE_MODE, write_private
from tanqiao.cli.local.members import MEMBERS, Member, RegionMember
from tanqiao.db.provision import PostgresUrls
from tests.unit.layout import compose_rules
from tests.unit.layout.modules import ROOT

DOCKERFILE = ROOT / "compose" / "Dockerfile"


def compose_file() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    return parsed


@pytest.mark.parametrize("rule", compose_rules.COMPOSE_RULES, ids=lambda rule: rule.__name__)
def test_the_compose_file_keeps_the_rule(rule: Callable[[Any], Iterator[str]]) -> None:
    assert list(rule(compose_file())) == []


def spoil(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return an edit that sets one value, for example `services.bridge.user`; None removes it."""

    def edit(compose: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for part in parents:
            compose = compose[part]
        if value is None:
            del compose[last]
        else:
            compose[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "rule", "said"),
    [
        (
            spoil("services/bridge/command", ["tanqiao-brigde", "serve"]),
            compose_rules.commands_start,
            "no program of this project",
        ),
        (
            spoil("services/bridge/command", ["tanqiao-bridge", "sevre"]),
            compose_rules.commands_start,
            "has no command sevre",
        ),
        (
            spoil("services/yunnan/command", ["tanqiao-region", "serve", "--confg", "x"]),
            compose_rules.commands_start,
            "has no option --confg",
        ),
        (
            spoil("services/prepare/command", ["python", "/usr/local/lib/tanqiao/prepair.py"]),
            compose_rules.commands_start,
            "not copied into the image",
        ),
        (
            spoil("services/postgres/command", ["mysqld"]),
            compose_rules.commands_start,
            "not in the image of PostgreSQL",
        ),
        (
            spoil("services/gec/environment", {"TANQIAO_LISTNE": "0.0.0.0:7462"}),
            compose_rules.variables_are_read,
            "nothing reads TANQIAO_LISTNE",
        ),
        (
            spoil("services/prepare/environment", {"TANQIAO_PASSWORD": "x"}),
            compose_rules.variables_are_read,
            "nothing reads TANQIAO_PASSWORD",
        ),
        (spoil("volumes/bridge", None), compose_rules.volumes_are_declared_and_used, "not declared"),
        (spoil("volumes/left-over", {}), compose_rules.volumes_are_declared_and_used, "not mounted"),
        (
            spoil("services/bridge/volumes", ["gec:/var/lib/tanqiao/gec"]),
            compose_rules.paths_lie_in_volumes,
            "lies in no volume",
        ),
        (
            spoil("services/bridge/ports", ["7400:7400"]),
            compose_rules.ports_agree,
            "listens at 7400 and publishes",
        ),
        (
            spoil("services/gec/environment", {"TANQIAO_LISTEN": "0.0.0.0:7461"}),
            compose_rules.ports_agree,
            "ccer has port 7461 already",
        ),
        (spoil("services/postgres/ports", ["5432:5432"]), compose_rules.ports_agree, "listens nowhere"),
        (spoil("services/bridge/user", "0:0"), compose_rules.our_containers_are_confined, "runs as root"),
        (spoil("services/bridge/user", None), compose_rules.our_containers_are_confined, "runs as root"),
        (
            spoil("services/ccer/read_only", value=False),
            compose_rules.our_containers_are_confined,
            "can write",
        ),
        (
            spoil("services/ccer/cap_drop", None),
            compose_rules.our_containers_are_confined,
            "keeps capabilities",
        ),
        (
            spoil("services/ccer/security_opt", []),
            compose_rules.our_containers_are_confined,
            "may gain privileges",
        ),
        (
            spoil("services/bridge/tmpfs", ["/tmp:size=64m,mode=1777"]),  # noqa: S108 - of the container
            compose_rules.libraries_can_be_mapped,
            "no library can be mapped",
        ),
        (
            spoil("services/yunnan/healthcheck", None),
            compose_rules.servers_have_health_checks,
            "nobody asks",
        ),
        (
            spoil("services/postgres/environment", {"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:-postgres}"}),
            compose_rules.secrets_are_not_written_down,
            "has a default",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_spoilt_compose_file_is_seen(
    edit: Callable[[dict[str, Any]], None], rule: Callable[[Any], Iterator[str]], said: str
) -> None:
    spoilt = copy.deepcopy(compose_file())
    edit(spoilt)
    findings = list(rule(spoilt))
    assert any(said in finding for finding in findings), findings


def test_what_prepare_makes_is_what_the_containers_run() -> None:
    services = compose_file()["services"]
    nodes = {member.name: member for member in MEMBERS}
    assert nodes.keys() == services.keys() - {"postgres", "prepare"}
    for name, node in nodes.items():
        home = f"{prepare.HOME}/{name}"
        assert services[name]["command"] == [
            prepare.program_of(node),
            "serve",
            "--config",
            f"{home}/config.toml",
        ]
        assert services[name]["environment"] == {"TANQIAO_LISTEN": f"0.0.0.0:{node.port}"}
        assert services[name]["volumes"] == [f"{name}:{home}"], "a node sees its own volume and no other"
        assert f"{name}:{home}" in services["prepare"]["volumes"]
    assert set(services["prepare"]["environment"]) == set(prepare.ENVIRONMENT)


@pytest.mark.parametrize("as_owner", [True, False])
@pytest.mark.parametrize("node", MEMBERS, ids=lambda node: node.name)
def test_each_program_reads_the_settings_that_prepare_writes(
    node: Member, as_owner: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(compose_rules.SETTINGS_MODULES[prepare.program_of(node)])
    for variable in module.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    database = PostgresUrls(
        make_url("postgresql+psycopg://node_owner:p%22w@postgres/node"),
        make_url("postgresql+psycopg://node_service:s%5Ct@postgres/node"),
    )
    path = tmp_path / "config.toml"
    write_private(path, prepare.settings_text(node, database, as_owner=as_owner))
    settings = module.load_settings(path)
    owner, service = database.rendered()
    assert settings.network_id == prepare.NETWORK_ID
    assert settings.listen == f"0.0.0.0:{node.port}"
    assert "127.0.0.1" not in path.read_text(encoding="utf-8"), "another container is not this one"
    assert settings.database_url == service
    assert settings.owner_database_url == (owner if as_owner else "")
    assert path.stat().st_mode & 0o777 == PRIVATE_FILE_MODE


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_prepare_makes_the_folder_of_each_file_that_the_settings_name(
    member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "HOME", tmp_path)
    node = tmp_path / member.name
    node.mkdir()
    for _again in range(2):
        prepare.make_folders(member)
    url = make_url("postgresql+psycopg://someone:secret@postgres/tanqiao")
    settings = tomllib.loads(prepare.settings_text(member, PostgresUrls(url, url), as_owner=False))
    files = [
        value.removeprefix("sqlite:///")
        for value in settings.values()
        if isinstance(value, str) and value.startswith("sqlite:///")
    ]
    assert bool(files) == isinstance(member, RegionMember)
    for file in files:
        assert (node / file).parent.is_dir(), file
        assert (node / file).parent.stat().st_mode & 0o777 == DIRECTORY_MODE


def dockerfile_instructions() -> list[list[str]]:
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text(encoding="utf-8"))
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_image_copies_what_exists_and_runs_as_the_user_of_the_compose_file() -> None:
    instructions = dockerfile_instructions()
    for name, rest in instructions:
        if name == "COPY" and "--from=" not in rest:
            *sources, _ = shlex.split(rest)
            assert [source for source in sources if not (ROOT / source).exists()] == []
    user = [rest for name, rest in instructions if name == "USER"]
    assert user == ["tanqiao"], "one user, not root"
    useradd = re.search(r"--uid (\d+)", DOCKERFILE.read_text(encoding="utf-8"))
    assert useradd is not None
    users = {service.get("user") for service in compose_file()["services"].values() if "build" in service}
    assert users == {f"{useradd.group(1)}:{useradd.group(1)}"}


def test_the_image_makes_the_folders_that_volumes_are_mounted_on() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    made = re.search(r"for folder in ([a-z ]+); do", text)
    assert made is not None
    mounted = {
        target.removeprefix(f"{prepare.HOME}/")
        for service in compose_file()["services"].values()
        if "build" in service
        for target in compose_rules.volumes_of(service).values()
    }
    # A named volume takes its owner from the folder that it first covers; else root would own it.
    assert set(made.group(1).split()) == mounted
