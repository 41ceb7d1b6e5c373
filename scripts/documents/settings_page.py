"""`docs/settings.md`: settings, commands, exit codes and environment variables of every program.

Names and meanings come from the settings classes, kinds and defaults from the functions that read the files
(their syntax trees: what is asked of the file is what the file may say), exit codes from the constants that
the programs use.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Final

import click

import tanqiao_bridge.main
import tanqiao_bridge.settings
import tanqiao_gateway.main
import tanqiao_gateway.settings
import tanqiao_region.main
import tanqiao_region.settings
from compose import prepare
from scripts.documents.markdown import UndocumentedError, code, page, paragraph, table
from tanqiao.cli import output
from tanqiao.rpc import process

SOURCE: Final = "the settings classes and the constants of the programs"
PROGRAMS: Final[tuple[tuple[str, ModuleType, ModuleType], ...]] = (
    ("tanqiao-region", tanqiao_region.settings, tanqiao_region.main),
    ("tanqiao-bridge", tanqiao_bridge.settings, tanqiao_bridge.main),
    ("tanqiao-gateway", tanqiao_gateway.settings, tanqiao_gateway.main),
)
KINDS: Final = {
    "text": "text",
    "integer": "positive number",
    "flag": "true or false",
    "path": "path",
    "database_url": "database address",
    "texts": "table of texts",
    "moment": "moment with its offset",
}
"""Methods of `tanqiao.rpc.settings.SettingsFile` → what they take."""
OPTIONAL_BY_KIND: Final = {"texts": "empty", "moment": "not set"}
EXIT_MEANINGS: Final = {
    "EXIT_OK": "Done.",
    "EXIT_REFUSED": "Refused by a rule, or a check found something.",
    "EXIT_FINDINGS": "`fsck` found something.",
    "EXIT_USAGE": "Usage, settings or bad input.",
    "EXIT_UNREACHABLE": "Something needed cannot be reached, or is busy: try again later.",
    "EXIT_FAULT": "A fault of ours.",
    "EXIT_INTERRUPTED": "Stopped by Ctrl-C.",
}
OTHER_VARIABLES: Final = {
    "DATABASES": "`tanqiao up` and `demo`, `make run`: `sqlite` (default) or `postgres`, at the first start.",
    "TANQIAO_HOME": "`tanqiao`: directory of the federation, as `--home`; default `./.tanqiao`.",
    "TANQIAO_PORTS": "`tanqiao up` and `demo`: `default` or `free` ports, at the first start.",
    "TANQIAO_TRACEBACK": "`tanqiao`: if set, a fault of ours is shown with the place where it happened.",
    "TANQIAO_POSTGRES_BIN": "Local PostgreSQL: folder of its programs ([storage.md](storage.md)).",
    "TANQIAO_POSTGRES_USER": "Local PostgreSQL started by root: the user that it runs as; default `nobody`.",
    "TANQIAO_DATA": "Demonstration and tests: directory of the public lists; tests that need it say so.",
    "TANQIAO_RULES": "Tests: the text with which the rules of the packs are compared, where it is at hand.",
    "TANQIAO_SIMULATION_SEED": "`make simulate`: seed of the protocol simulation, from `SEED=`.",
    **{name: f"`compose/prepare.py`: {meaning}." for name, meaning in prepare.ENVIRONMENT.items()},
}
"""Variables that no settings file knows."""
_ENTRY: Final = re.compile(r"^ {4,8}(\w+): (.+)$")


def render_page() -> str:
    """Give the page.

    Raises:
        UndocumentedError: a setting or a command has no meaning, or the reader and the class do not fit.
    """
    introduction = paragraph(
        "A node is started with `--config config.toml`. A setting that the program does not know is refused",
        "(`SETTING_INVALID`); relative paths are relative to the file. An environment variable that is set",
        "and not empty replaces the value of the file.",
    )
    sections = [_program(*program) for program in PROGRAMS]
    exits = ["## Exit codes", "", *_exit_codes()]
    others = [
        "## Other environment variables",
        "",
        *table(("variable", "meaning"), [(code(name), text) for name, text in OTHER_VARIABLES.items()]),
    ]
    return page("Settings, commands, exit codes", SOURCE, introduction, *sections, exits, others)


def _program(name: str, settings: ModuleType, main: ModuleType) -> list[str]:
    headings = ("setting", "kind", "default", "environment variable", "meaning")
    commands = [(code(f"{name} {command}"), text) for command, text in _commands(name, main)]
    return [
        f"## {name}",
        "",
        *table(("command", "what it does"), commands),
        "",
        *table(headings, _settings(name, settings)),
    ]


def _commands(name: str, main: ModuleType) -> Iterator[tuple[str, str]]:
    group = main.main
    if not isinstance(group, click.Group):
        raise UndocumentedError([f"{name} has no group of commands"])
    for command_name, command in group.commands.items():
        if not command.help:
            raise UndocumentedError([f"{name} {command_name} has no sentence"])
        options = [
            option.opts[0] for option in command.params if isinstance(option, click.Option) and option.is_flag
        ]
        shown = " ".join([f"{command_name} --config FILE", *(f"[{option}]" for option in options)])
        yield shown, command.help.partition("\n\n")[0]


def _settings(name: str, settings: ModuleType) -> list[tuple[str, ...]]:
    meanings = documented_arguments(settings.Settings)
    asked = dict(_asked(settings))
    variables: Mapping[str, str] = {field: variable for variable, field in settings.ENVIRONMENT.items()}
    names = [field.name for field in dataclasses.fields(settings.Settings)]
    missing = [f"{name}: {field} has no meaning" for field in names if field not in meanings]
    missing += [f"{name}: {field} is not read from the file" for field in names if field not in asked]
    missing += [f"{name}: {field} is explained and is no setting" for field in meanings if field not in names]
    missing += [
        f"{name}: {field} has a variable and is no setting" for field in variables if field not in names
    ]
    if missing:
        raise UndocumentedError(missing)
    rows: list[tuple[str, ...]] = []
    for field in names:
        kind, default = asked[field]
        variable = code(variables[field]) if field in variables else ""
        rows.append((code(field), kind, default, variable, _sentence(meanings[field])))
    return rows


def documented_arguments(documented: type) -> dict[str, str]:
    """Give name and meaning of each entry below `Args:` in the docstring of a class."""
    text = inspect.getdoc(documented) or ""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("Args:\n")[2].partition("\n\n")[0].splitlines():
        entry = _ENTRY.match(line)
        if entry is not None:
            name = entry.group(1)
            found[name] = entry.group(2)
        elif name and line.startswith(" " * 8):
            found[name] += " " + line.strip()
        else:
            name = ""
    return found


def _sentence(text: str) -> str:
    return text.replace("``", "`")[:1].upper() + text.replace("``", "`")[1:]


def _asked(settings: ModuleType) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give for each field what `load_settings` asks of the file: its kind and its default."""
    tree = ast.parse(inspect.getsource(settings.load_settings))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Settings":
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield keyword.arg, _kind_and_default(settings, keyword.value)


def _kind_and_default(settings: ModuleType, value: ast.expr) -> tuple[str, str]:
    asked = value.body if isinstance(value, ast.IfExp) else value
    asks = [
        node
        for node in ast.walk(asked)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KINDS
    ]
    if not asks:
        raise UndocumentedError([f"{settings.__name__}: {ast.unparse(value)} asks nothing of the file"])
    first = asks[0].func
    kind = first.attr if isinstance(first, ast.Attribute) else ""
    defaults = [keyword.value for ask in asks for keyword in ask.keywords if keyword.arg == "default"]
    if isinstance(value, ast.IfExp):
        return KINDS[kind], "not set"
    if defaults:
        shown = _value(settings, defaults[0])
        return KINDS[kind], code(str(shown)) if shown != "" else "empty"
    return KINDS[kind], OPTIONAL_BY_KIND.get(kind, "required")


def _value(settings: ModuleType, node: ast.expr) -> object:
    if isinstance(node, ast.Name):
        return getattr(settings, node.id)
    return ast.literal_eval(node)


def _exit_codes() -> list[str]:
    headings = ("code", "`tanqiao`", "`tanqiao-region`, `tanqiao-bridge`, `tanqiao-gateway`")
    of_commands = _codes(output)
    of_nodes = {output.EXIT_OK: EXIT_MEANINGS["EXIT_OK"], **_codes(process)}
    numbers = sorted(of_commands.keys() | of_nodes.keys())
    return table(
        headings,
        [(str(number), of_commands.get(number, ""), of_nodes.get(number, "")) for number in numbers],
    )


def _codes(module: ModuleType) -> dict[int, str]:
    names = [
        name for name, value in vars(module).items() if name.startswith("EXIT_") and isinstance(value, int)
    ]
    missing = [f"{module.__name__}: {name} has no meaning" for name in names if name not in EXIT_MEANINGS]
    if missing:
        raise UndocumentedError(missing)
    return {getattr(module, name): EXIT_MEANINGS[name] for name in names}
