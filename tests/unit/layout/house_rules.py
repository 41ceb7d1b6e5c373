"""The rules of the house that no linter knows, each a function from a module to the places that break it.

Every rule here has a small bad source in `test_house_rules.py` that it must find: a check that cannot fail
checks nothing. What is about imports between packages alone stands in `pyproject.toml` for import-linter.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from typing import Final

from tests.unit.layout.modules import Module, is_within

LINES_OF_A_FILE_MAX: Final = 600

PURE_LIBRARY_PACKAGES: Final = ("tanqiao.kernel", "tanqiao.protocol", "tanqiao.claims")
PURE_SERVICE_LAYERS: Final = frozenset({"domain", "rulepacks"})
PURE_STANDARD_LIBRARY: Final = frozenset(
    {
        "__future__", "abc", "base64", "binascii", "bisect", "calendar", "collections", "contextlib", "copy",
        "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "hmac",
        "itertools", "json", "math", "operator", "re", "string", "struct", "textwrap", "types", "typing",
        "unicodedata", "array",
    }
)  # fmt: skip
"""What computes and nothing else. No os, time, random, secrets, uuid, socket, pathlib, logging, threading."""

CALLS_THAT_ARE_INPUT_OR_OUTPUT: Final = frozenset(
    {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint", "id", "hash"}
)
"""`id` and `hash` of text differ from process to process, which is a random number by another name."""
METHODS_THAT_READ_THE_CLOCK: Final = frozenset(
    {"now", "utcnow", "today", "fromtimestamp", "monotonic", "perf_counter"}
)
CLOCK_OWNERS: Final = frozenset({"datetime", "date", "time"})

_SQL_BEGINNINGS: Final = (
    r"SELECT\s.+\sFROM",
    r"INSERT\s+INTO",
    r"UPDATE\s.+\sSET",
    r"DELETE\s+FROM",
    r"CREATE\s+(TABLE|INDEX|TRIGGER)",
    r"ALTER\s+TABLE",
)
_SQL: Final = rf"({'|'.join(_SQL_BEGINNINGS)})\b"
# All capitals or all small: a sentence that begins with "Select" is no statement.
SQL_STATEMENT: Final = re.compile(rf"\s*({_SQL}|{_SQL.lower()})", re.DOTALL)
DATABASE_PACKAGES: Final = ("sqlalchemy", "sqlite3", "psycopg", "alembic", "tanqiao.db")
HANDLES_OF_A_SERVICER: Final = ("tanqiao.db.engine", "tanqiao.db.group_commit")
"""A servicer hands commands to the writer and reads through queries of the application; these hold no SQL."""
NETWORK_PACKAGES: Final = (
    "grpc",
    "grpc_status",
    "socket",
    "urllib",
    "http",
    "tanqiao.rpc.channel",
    "tanqiao.client",
)
# Written backwards, so that the rule does not find itself.
UNFINISHED_MARKS: Final = tuple(mark[::-1] for mark in ("ODOT", "EMXIF", 3 * "X", "KCAH"))
UNFINISHED_WORD: Final = re.compile(rf"\b({'|'.join(UNFINISHED_MARKS)})\b")
UNFINISHED_NAME: Final = "rorrEdetnemelpmItoN"[::-1]

Rule = Callable[[Module], Iterator[str]]


def is_pure(module: Module) -> bool:
    """Tell whether the module belongs to the part that neither reads nor changes the world."""
    if module.service is not None:
        return module.layer in PURE_SERVICE_LAYERS
    return any(is_within(module.name, package) for package in PURE_LIBRARY_PACKAGES)


def _may_be_imported_by_pure(name: str, module: Module) -> bool:
    if name.partition(".")[0] in PURE_STANDARD_LIBRARY:
        return True
    if any(is_within(name, package) for package in PURE_LIBRARY_PACKAGES):
        return True
    own = module.service
    return own is not None and any(is_within(name, f"{own}.{layer}") for layer in PURE_SERVICE_LAYERS)


def pure_packages_import_only_what_computes(module: Module) -> Iterator[str]:
    """Rule 1, imports: an allow-list, so that a new dependency is impure until somebody says otherwise."""
    if not is_pure(module):
        return
    for node in ast.walk(module.tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            # `from tanqiao import kernel` imports a package that is named only by the alias.
            names = (
                [f"{base}.{alias.name}" for alias in node.names]
                if base in {"tanqiao", module.service}
                else [base]
            )
        for name in names:
            if not _may_be_imported_by_pure(name, module):
                yield f"{module.path}:{getattr(node, 'lineno', 0)} imports {name}, which is not pure"


def pure_packages_read_no_clock_and_do_no_io(module: Module) -> Iterator[str]:
    """Rule 1, calls: builtins and methods of allowed modules that still reach out of the program."""
    if not is_pure(module):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in CALLS_THAT_ARE_INPUT_OR_OUTPUT:
            if called.id == "hash" and _stands_in_dunder_hash(module, node):
                continue
            yield f"{module.path}:{node.lineno} calls {called.id}()"
        elif isinstance(called, ast.Attribute) and called.attr in METHODS_THAT_READ_THE_CLOCK:
            owner = (
                called.value.attr
                if isinstance(called.value, ast.Attribute)
                else getattr(called.value, "id", "")
            )
            if owner in CLOCK_OWNERS and not (called.attr == "fromtimestamp" and _names_a_zone(node)):
                yield f"{module.path}:{node.lineno} reads the machine's time: {owner}.{called.attr}()"


def _stands_in_dunder_hash(module: Module, call: ast.Call) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "__hash__" and call in ast.walk(node)
        for node in ast.walk(module.tree)
    )


def _names_a_zone(call: ast.Call) -> bool:
    """`fromtimestamp(seconds, zone)` computes; without the zone it asks the machine for its own."""
    return len(call.args) > 1 or any(keyword.arg == "tz" for keyword in call.keywords)


def application_calls_nobody(module: Module) -> Iterator[str]:
    """Rule 2: nobody is called inside a transaction, so a handler has no means to call anybody."""
    if module.service is None or module.layer != "application":
        return
    for package in NETWORK_PACKAGES:
        line = module.imports_from(package)
        if line is not None:
            yield f"{module.path}:{line} imports {package}; what others must hear goes through the outbox"
    for name, line in module.imports:
        if "_pb2_grpc" in name:
            yield f"{module.path}:{line} imports the stub {name}"
    for layer in ("server", "main", "bootstrap"):
        line = module.imports_from(f"{module.service}.{layer}")
        if line is not None:
            yield f"{module.path}:{line} imports {layer}, which stands above it"


def handlers_commit_once(module: Module) -> Iterator[str]:
    """Rule 2: one command, one transaction. A second commit in one function would be a second transaction."""
    if module.service is None or module.layer != "application":
        return
    for function in ast.walk(module.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        commits = [
            node.lineno
            for node in ast.walk(function)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "commit"
        ]
        if len(commits) > 1:
            yield f"{module.path}:{commits[1]} commits a second time in {function.name}()"


def servicers_hold_no_sql(module: Module) -> Iterator[str]:
    """Rule 3: a servicer translates; it neither builds a statement nor sees a table."""
    if module.service is None or module.layer != "server":
        return
    forbidden = (*DATABASE_PACKAGES, f"{module.service}.storage")
    for name, line in module.imports:
        if any(is_within(name, handle) for handle in HANDLES_OF_A_SERVICER):
            continue
        if any(is_within(name, package) for package in forbidden):
            yield f"{module.path}:{line} imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_STATEMENT.match(node.value):
            yield f"{module.path}:{node.lineno} holds an SQL statement"


def only_bootstrap_wires(module: Module) -> Iterator[str]:
    """Rule 6: storage and server of a service meet in `bootstrap.py` alone."""
    if module.service is None or module.layer == "bootstrap":
        return
    lines = {layer: module.imports_from(f"{module.service}.{layer}") for layer in ("storage", "server")}
    # A module of one of the two layers is itself one half of a meeting.
    lines.pop(module.layer, None)
    if None not in lines.values():
        line = max(line for line in lines.values() if line is not None)
        yield f"{module.path}:{line} brings storage and server together outside bootstrap.py"


def product_code_has_no_assert(module: Module) -> Iterator[str]:
    """`python -O` drops assert; what must hold in production is held by `require`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"{module.path}:{node.lineno} uses assert; use tanqiao.kernel.require"


def files_are_one_idea(module: Module) -> Iterator[str]:
    """A file above the bound holds more than one idea."""
    if "/migrations/versions/" in str(module.path):
        return  # a revision writes a schema out in full, and is never read for its ideas
    lines = len(module.text.splitlines())
    if lines > LINES_OF_A_FILE_MAX:
        yield f"{module.path} has {lines} lines, the bound is {LINES_OF_A_FILE_MAX}"


def nothing_is_left_unfinished(module: Module) -> Iterator[str]:
    """No mark of unfinished work in comments or text, no method that only says it is not there."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING} and UNFINISHED_WORD.search(token.string):
            yield f"{module.path}:{token.start[0]} is marked as unfinished"
        if token.type == tokenize.NAME and token.string == UNFINISHED_NAME:
            yield f"{module.path}:{token.start[0]} raises {token.string}"


PRODUCT_RULES: Final[tuple[Rule, ...]] = (
    pure_packages_import_only_what_computes,
    pure_packages_read_no_clock_and_do_no_io,
    application_calls_nobody,
    handlers_commit_once,
    servicers_hold_no_sql,
    only_bootstrap_wires,
    product_code_has_no_assert,
)
EVERYWHERE_RULES: Final[tuple[Rule, ...]] = (files_are_one_idea, nothing_is_left_unfinished)
