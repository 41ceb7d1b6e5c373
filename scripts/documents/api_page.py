"""`docs/api.md`: every service, method and message of the wire, and who may call what.

Words come from the comments of the `.proto` files, callers from the table that each server enforces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from scripts.documents.contract import EnumText, FieldText, FileText, MessageText, MethodText, ServiceText
from scripts.documents.markdown import UndocumentedError, code, page, paragraph, plain, table
from tanqiao.rpc.caller import ANY_PARTY, CallerTable
from tanqiao_bridge.server.callers import CALLERS as BRIDGE_CALLERS
from tanqiao_gateway.server.callers import CALLERS as GATEWAY_CALLERS
from tanqiao_region.server.callers import callers as region_callers

SOURCE: Final = "the comments in `proto/` and the tables `server/callers.py` of the services"
OWN_REGION: Final = "CODE"
SERVERS: Final[tuple[tuple[str, CallerTable], ...]] = (
    ("region node", region_callers(OWN_REGION)),
    ("bridge", BRIDGE_CALLERS),
    ("gateway", GATEWAY_CALLERS),
)
"""Every server with its table; `CODE` stands for the code of the node's own region."""
NOT_SERVED: Final = "not served yet"


def render_page(files: Sequence[FileText]) -> str:
    """Give the page.

    Raises:
        UndocumentedError: a service or method has no comment, or a table names a method that does not exist.
    """
    _require_words(files)
    names = Counter(message.name for file in files for message in file.messages)
    names.update(enum.name for file in files for enum in file.enums)
    repeated = frozenset(name for name, count in names.items() if count > 1)
    introduction = paragraph(
        "A caller shows a client certificate of the network; its party, such as `operator/310000/sh.centre`,",
        "is read from that certificate. Patterns below: `*` is one part of a party's path, `**` any number",
        f"of parts, `{OWN_REGION}` the division code of the node's own region. Inside a region the rule pack",
        "decides further, by role. Every server also offers the standard services `grpc.health.v1.Health`",
        "and server reflection. How to call from any language:",
        "[api-from-another-language.md](api-from-another-language.md).",
    )
    return page(
        "The wire 接口", SOURCE, introduction, _index(files), *(_file(file, repeated) for file in files)
    )


def served_by(method_path: str) -> list[tuple[str, tuple[str, ...]]]:
    """Give each server that offers the method, with the patterns of its callers."""
    return [(name, tuple(callers[method_path])) for name, callers in SERVERS if method_path in callers]


def _require_words(files: Iterable[FileText]) -> None:
    missing: list[str] = []
    known: set[str] = set()
    for file in files:
        for service in file.services:
            if not service.comment:
                missing.append(f"{file.path}: {service.name} has no comment")
            known.update(method.path for method in service.methods)
            missing += [
                f"{file.path}: {service.name}.{method.name} has no comment"
                for method in service.methods
                if not method.comment
            ]
    for name, callers in SERVERS:
        missing += [
            f"the callers of the {name} name {path}, which no file has" for path in callers.keys() - known
        ]
    if missing:
        raise UndocumentedError(sorted(missing))


def _index(files: Iterable[FileText]) -> list[str]:
    rows = []
    for file in files:
        for service in file.services:
            names = sorted({name for method in service.methods for name, _ in served_by(method.path)})
            link = f"[`{file.package}.{service.name}`](#{service.name.lower()})"
            rows.append((link, ", ".join(names) or NOT_SERVED, plain(service.comment)))
    return ["## Services", "", *table(("service", "served by", "what for"), rows)]


def _file(file: FileText, repeated: frozenset[str]) -> list[str]:
    lines = [f"## {file.path}", "", plain(file.comment)]
    for service in file.services:
        lines += ["", *_service(service, file, repeated)]
    for message in file.messages:
        lines += ["", *_message(message, _heading(message.name, file, repeated))]
    for enum in file.enums:
        lines += ["", *_enum(enum, _heading(enum.name, file, repeated))]
    return lines


def _service(service: ServiceText, file: FileText, repeated: frozenset[str]) -> Iterator[str]:
    yield f"### {service.name}"
    yield ""
    yield plain(service.comment)
    yield ""
    headings = ("method", "request", "response", "who may call", "what it does")
    yield from table(headings, [_method(method, file, repeated) for method in service.methods])


def _method(method: MethodText, file: FileText, repeated: frozenset[str]) -> tuple[str, ...]:
    request, response = (_heading(name, file, repeated) for name in (method.request, method.response))
    return (
        code(method.name),
        _linked(method.request, request, streams=method.request_streams),
        _linked(method.response, response, streams=method.response_streams),
        "; ".join(f"{name}: {_callers(patterns)}" for name, patterns in served_by(method.path)) or NOT_SERVED,
        plain(method.comment),
    )


def _linked(message: str, heading: str, *, streams: bool) -> str:
    link = f"[`{message}`](#{anchor(heading)})"
    return f"stream of {link}" if streams else link


def anchor(heading: str) -> str:
    """Give the anchor that a page gets for a heading: lower case, hyphens for spaces, no other marks."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _callers(patterns: Iterable[str]) -> str:
    return ", ".join(
        "any party of the network" if pattern == ANY_PARTY else code(pattern) for pattern in patterns
    )


def _heading(name: str, file: FileText, repeated: frozenset[str]) -> str:
    """Give a heading that no other message or enumeration of the page has."""
    return f"{name} of {file.package}" if name in repeated else name


def _message(message: MessageText, heading: str) -> Iterator[str]:
    yield f"#### {heading}"
    yield ""
    if message.comment:
        yield plain(message.comment)
        yield ""
    if not message.fields:
        yield "No fields."
        return
    yield from table(("field", "number", "type", "meaning"), [_field(field) for field in message.fields])


def _field(field: FieldText) -> tuple[str, ...]:
    meaning = " ".join(
        part for part in (f"(one of {code(field.group)})" if field.group else "", field.comment) if part
    )
    return (code(field.name), str(field.number), code(field.type_name), plain(meaning))


def _enum(enum: EnumText, heading: str) -> Iterator[str]:
    yield f"#### {heading}"
    yield ""
    if enum.comment:
        yield plain(enum.comment)
        yield ""
    rows = [(code(name), str(number), plain(comment)) for name, number, comment in enum.values]
    yield from table(("value", "number", "meaning"), rows)
