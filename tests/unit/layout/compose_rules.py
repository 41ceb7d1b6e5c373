"""What must hold of `compose/compose.yaml`: rules from the parsed file to the places that break them."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import click

from tests.unit.layout.modules import ROOT

Services = Mapping[str, Mapping[str, Any]]
Compose = Mapping[str, Any]

# PostgreSQL's image is not ours; these are the variables of its documentation that we use.
VARIABLES_OF_POSTGRES: Final = frozenset({"POSTGRES_PASSWORD"})
COMMANDS_OF_POSTGRES: Final = frozenset({"postgres", "pg_isready"})
PROGRAM_FOLDER: Final = PurePosixPath("/usr/local/lib/tanqiao")
SETTINGS_MODULES: Final = {
    "tanqiao-region": "tanqiao_region.settings",
    "tanqiao-bridge": "tanqiao_bridge.settings",
    "tanqiao-gateway": "tanqiao_gateway.settings",
}


def is_ours(service: Mapping[str, Any]) -> bool:
    """Tell whether the service runs the image that is built here."""
    return "build" in service


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the service's variables, of which compose knows two spellings."""
    given = service.get("environment", {})
    if isinstance(given, list):
        return dict(item.split("=", 1) for item in given)
    return {name: str(value) for name, value in given.items()}


def volumes_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the named volumes that the service mounts, and where."""
    return dict(item.split(":")[:2] for item in service.get("volumes", []))


def entry_points() -> dict[str, str]:
    """Return the programs that the wheel installs, with the function behind each."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        scripts: dict[str, str] = tomllib.load(file)["project"]["scripts"]
    return scripts


def fault_of_click_command(words: list[str]) -> str | None:
    """Return why the program would refuse these words, or None; nothing is run."""
    module, _, attribute = entry_points()[words[0]].partition(":")
    command: Any = getattr(importlib.import_module(module), attribute)
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return f"{words[0]} has no command {rest[0]}"
        command, rest = found, rest[1:]
    if not isinstance(command, click.Command):
        return f"{words[0]} is no click command"
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    return f"{' '.join(words)} has no option {unknown[0]}" if unknown else None


def fault_of_command(words: list[str], *, ours: bool) -> str | None:
    """Return why the command would not start, or None."""
    if not ours:
        return None if words[0] in COMMANDS_OF_POSTGRES else f"{words[0]} is not in the image of PostgreSQL"
    if words[0] == "python":
        script = PurePosixPath(words[1])
        exists = script.parent == PROGRAM_FOLDER and (ROOT / "compose" / script.name).is_file()
        return None if exists else f"{script} is not copied into the image"
    if words[0] not in entry_points():
        return f"{words[0]} is no program of this project"
    return fault_of_click_command(words)


def known_variables(service: Mapping[str, Any]) -> frozenset[str]:
    """Return the variables that the service's program reads."""
    if not is_ours(service):
        return VARIABLES_OF_POSTGRES
    words = service["command"]
    if words[0] in SETTINGS_MODULES:
        return frozenset(importlib.import_module(SETTINGS_MODULES[words[0]]).ENVIRONMENT)
    return frozenset(importlib.import_module(f"compose.{PurePosixPath(words[1]).stem}").ENVIRONMENT)


def commands_start(compose: Compose) -> Iterator[str]:
    """Each command and health check names a program, a command and options that exist."""
    for name, service in compose["services"].items():
        check = service.get("healthcheck", {}).get("test", [])[1:]
        for words in [service.get("command"), check]:
            fault = fault_of_command(words, ours=is_ours(service)) if words else None
            if fault is not None:
                yield f"{name}: {fault}"


def variables_are_read(compose: Compose) -> Iterator[str]:
    """Each variable is one that the program reads."""
    for name, service in compose["services"].items():
        for variable in sorted(environment_of(service).keys() - known_variables(service)):
            yield f"{name}: nothing reads {variable}"


def volumes_are_declared_and_used(compose: Compose) -> Iterator[str]:
    """What is mounted is declared, what is declared is mounted, and it is no folder of the host."""
    mounted = {volume for service in compose["services"].values() for volume in volumes_of(service)}
    declared = set(compose["volumes"])
    yield from (f"{volume} is mounted and not declared" for volume in sorted(mounted - declared))
    yield from (f"{volume} is declared and not mounted" for volume in sorted(declared - mounted))


def paths_lie_in_volumes(compose: Compose) -> Iterator[str]:
    """Settings lie in a volume that the node mounts: the rest of its file system is read-only."""
    for name, service in compose["services"].items():
        words = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
        for word in words:
            path = PurePosixPath(str(word))
            if not path.is_absolute() or path.is_relative_to(PROGRAM_FOLDER):
                continue
            if not any(path.is_relative_to(target) for target in volumes_of(service).values()):
                yield f"{name}: {path} lies in no volume"


def ports_agree(compose: Compose) -> Iterator[str]:
    """What a node listens at, publishes (on loopback) and is asked at by its check is one port."""
    taken: dict[str, str] = {}
    for name, service in compose["services"].items():
        listen = environment_of(service).get("TANQIAO_LISTEN")
        published = [str(port) for port in service.get("ports", [])]
        if listen is None:
            yield from (f"{name}: publishes {port} and listens nowhere" for port in published)
            continue
        port = listen.rpartition(":")[2]
        if published != [f"127.0.0.1:{port}:{port}"]:
            yield f"{name}: listens at {port} and publishes {published}"
        if service["healthcheck"]["test"][-1] != port:
            yield f"{name}: the health check asks another port than {port}"
        if port in taken:
            yield f"{name}: {taken[port]} has port {port} already"
        taken[port] = name


def our_containers_are_confined(compose: Compose) -> Iterator[str]:
    """Not root, nothing to write but volumes and a small /tmp, no capabilities, no way to gain any."""
    for name, service in compose["services"].items():
        if not is_ours(service):
            continue
        user = str(service.get("user", "0")).partition(":")[0]
        faults = {
            "runs as root": not user.isdigit() or int(user) == 0,
            "can write to its file system": service.get("read_only") is not True,
            "keeps capabilities": service.get("cap_drop") != ["ALL"],
            "may gain privileges": "no-new-privileges:true" not in service.get("security_opt", []),
            "is privileged": bool(service.get("privileged")),
        }
        yield from (f"{name}: {fault}" for fault, holds in faults.items() if holds)


def libraries_can_be_mapped(compose: Compose) -> Iterator[str]:
    """A library that a package unpacks at run time is mapped from /tmp, which Docker forbids by default."""
    for name, service in compose["services"].items():
        if not is_ours(service):
            continue
        options = [
            str(mount).partition(":")[2].split(",")
            for mount in service.get("tmpfs", [])
            if str(mount).partition(":")[0] == "/tmp"  # noqa: S108 - of the container
        ]
        if not any("exec" in one for one in options):
            yield f"{name}: no library can be mapped from its /tmp"


def servers_have_health_checks(compose: Compose) -> Iterator[str]:
    """What stays up is asked whether it serves; what runs once is waited for."""
    for name, service in compose["services"].items():
        if service.get("restart") == "no":
            continue
        if "healthcheck" not in service:
            yield f"{name}: nobody asks whether it serves"


def secrets_are_not_written_down(compose: Compose) -> Iterator[str]:
    """A password comes from the operator's environment and has no default."""
    for name, service in compose["services"].items():
        for variable, value in environment_of(service).items():
            if "PASSWORD" in variable and not re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value):
                yield f"{name}: {variable} is written down or has a default"


COMPOSE_RULES: Final[tuple[Callable[[Compose], Iterator[str]], ...]] = (
    commands_start,
    variables_are_read,
    volumes_are_declared_and_used,
    paths_lie_in_volumes,
    ports_agree,
    our_containers_are_confined,
    libraries_can_be_mapped,
    servers_have_health_checks,
    secrets_are_not_written_down,
)
