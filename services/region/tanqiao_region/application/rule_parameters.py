"""Dated parameters at a running node: what the law leaves open, set by the competent body (RULES section 13).

A value has a first day that is not past, a document, an author and a second approver, and an entry of the
journal; it is never changed, only followed by another. What is in force on a legal date is asked by every
rule from the next transaction on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from tanqiao.api.region.v1 import parameters_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import parse_wire_date, require_text
from tanqiao.signing.body_decisions import PARAMETER
from tanqiao_region.application import journal
from tanqiao_region.application.body_decisions import approval_of, keep_approval, named
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once
from tanqiao_region.application.register_facts import date_or_none
from tanqiao_region.domain.rules.facts import PublishRuleDocument
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.parameters import (
    Kind,
    ParameterDefinition,
    ParameterValue,
    Provenance,
    Value,
    base_key,
)
from tanqiao_region.storage.journal import journal_head
from tanqiao_region.storage.parameter_tables import ParameterRow, insert_parameter, load_parameters

KEY_LENGTH_MAX: Final = 128
JSON_LENGTH_MAX: Final = 8000
TEXT_LENGTH_MAX: Final = 400
DEPTH_MAX: Final = 4


class RuleParameters:
    """Publishes values, and shows what the pack leaves open.

    Args:
        context: the node's own things.
        database: read for what is in force.
        submit: the node's writer.
    """

    def __init__(self, context: RegionContext, database: Database, submit: Submit) -> None:
        self._context = context
        self._database = database
        self._submit = submit

    def set_value(
        self, ask: Ask, request: parameters_pb2.SetParameterRequest
    ) -> parameters_pb2.SetParameterResponse:
        """Publish a value from a day on."""
        kept = self._submit(lambda group: once(group, ask, lambda: _set(group, ask, request)))
        return parameters_pb2.SetParameterResponse.FromString(kept)

    def page(self, after: str, limit: int) -> tuple[list[parameters_pb2.Parameter], int]:
        """Give parameters in the order of their keys, and the journal's index."""
        pack = self._context.pack(legal_date(self._context.now()))
        with self._database.reading() as connection:
            rows = load_parameters(connection)
            index, _ = journal_head(connection)
        keys = [key for key in sorted(pack.parameters.definitions) if key > after][:limit]
        return [_shown(pack, pack.parameters.definitions[key], rows) for key in keys], index


def with_published(pack: RulePack, rows: Sequence[ParameterRow]) -> RulePack:
    """Give a pack with every published value; one that it no longer declares is left out."""
    declared = pack.parameters.definitions
    known = [row for row in rows if base_key(row.key) in declared]
    return pack.with_parameters(tuple(_value_of(declared[base_key(row.key)], row) for row in known))


def _value_of(definition: ParameterDefinition, row: ParameterRow) -> ParameterValue:
    return ParameterValue(
        key=row.key,
        value=value_from_json(definition, row.value_json),
        valid_from=date.fromisoformat(row.start_date),
        provenance=Provenance.OPERATOR,
        document=row.document_reference,
        valid_to=date.fromisoformat(row.end_date) if row.end_date else None,
        author=row.author,
        second_approver=row.second_approver,
    )


def value_from_json(definition: ParameterDefinition, text: str) -> Value:
    """Read a value of a parameter's kind; whole numbers only, at most `DEPTH_MAX` levels.

    Raises:
        DomainError: PARAMETER_INVALID.
    """
    try:
        found = json.loads(text, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise _invalid(definition, text) from error
    if definition.kind is Kind.DATE and isinstance(found, str):
        try:
            found = date.fromisoformat(found)
        except ValueError as error:
            raise _invalid(definition, text) from error
    if definition.kind is Kind.TEXT_SET and isinstance(found, list):
        if not all(isinstance(one, str) for one in found):
            raise _invalid(definition, text)
        found = frozenset(found)
    if not definition.kind.accepts(found) or not _shallow(found, DEPTH_MAX):
        raise _invalid(definition, text)
    if definition.allowed and found not in definition.allowed:
        raise _invalid(definition, text)
    return found  # type: ignore[no-any-return]  # the kind has accepted it


def _no_float(text: str) -> object:
    raise ValueError(text)


def _shallow(value: object, levels: int) -> bool:
    if isinstance(value, Mapping):
        return levels > 0 and all(_shallow(one, levels - 1) for one in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_shallow(one, levels - 1) for one in value)
    return value is not None


def _invalid(definition: ParameterDefinition, text: str) -> DomainError:
    allowed = ", ".join(sorted(definition.allowed)) or definition.kind.value
    return DomainError("PARAMETER_INVALID", parameter=definition.key, value=text[:64], allowed=allowed)


def _set(
    group: Group, ask: Ask, request: parameters_pb2.SetParameterRequest
) -> parameters_pb2.SetParameterResponse:
    key = require_text(request.key, "key", length_max=KEY_LENGTH_MAX)
    document = require_text(request.document_reference, "document_reference", length_max=TEXT_LENGTH_MAX)
    begins = parse_wire_date(request.start_date, "start_date")
    ends = date_or_none(request.end_date, "end_date")
    verdict = group.pack.require(PublishRuleDocument(**act_facts(group, ask.by), document_kind="parameter"))
    definition = group.pack.parameters.definitions.get(base_key(key))
    if definition is None or definition.indexed != key.endswith("]") or key.endswith("[]"):
        allowed = "a key that the pack declares, with its index"
        raise DomainError("PARAMETER_INVALID", parameter=key, value=key, allowed=allowed)
    text = require_text(request.value_json, "value_json", length_max=JSON_LENGTH_MAX)
    value_from_json(definition, text)
    if begins < group.legal_date or (ends is not None and ends <= begins):
        field = "end_date" if begins >= group.legal_date else "start_date"
        detail = f"{begins.isoformat()} – {'' if ends is None else ends.isoformat()}"
        raise DomainError("FIELD_INVALID", field=field, detail=detail)
    known = load_parameters(group.connection)
    if any((one.key, one.start_date) == (key, begins.isoformat()) for one in known):
        raise DomainError("PARAMETER_ALREADY_DATED", parameter=key, date=begins.isoformat())
    approval = approval_of(group, ask.by, request, PARAMETER, key)
    if approval is None:
        raise DomainError("FIELD_MISSING", field="approval")
    second = approval.approver
    index = group.journal.append(
        journal.PARAMETER_SET,
        key,
        applied=journal.Applied.of(verdict),
        details={
            "value_json": text,
            "from": begins.isoformat(),
            "to": "" if ends is None else ends.isoformat(),
            "document": document,
            "by": ask.by.party,
            "second_approver": second,
            **named(request),
        },
    )
    row = ParameterRow(
        key,
        begins.isoformat(),
        "" if ends is None else ends.isoformat(),
        text,
        document,
        ask.by.party,
        second,
        index,
    )
    keep_approval(group, request, approval)
    insert_parameter(group.connection, row)
    group.take_parameters([*known, row])
    return parameters_pb2.SetParameterResponse(value=_published(row))


def _published(row: ParameterRow) -> parameters_pb2.ParameterValue:
    return parameters_pb2.ParameterValue(
        key=row.key,
        value_json=row.value_json,
        start_date=date_message(row.start_date),
        end_date=date_message(row.end_date) if row.end_date else None,
        document_reference=row.document_reference,
        provenance=Provenance.OPERATOR.value,
        author=row.author,
        second_approver=row.second_approver,
        journal_index=row.journal_index,
    )


def _shown(
    pack: RulePack, definition: ParameterDefinition, rows: Sequence[ParameterRow]
) -> parameters_pb2.Parameter:
    of_pack = [
        parameters_pb2.ParameterValue(
            key=one.key,
            value_json=_json_of(one.value),
            start_date=None if one.valid_from is None else date_message(one.valid_from.isoformat()),
            end_date=None if one.valid_to is None else date_message(one.valid_to.isoformat()),
            document_reference=one.document,
            provenance=one.provenance.value,
        )
        for one in pack.parameters.values_of(definition.key)
        if one.provenance is not Provenance.OPERATOR
    ]
    published = [_published(row) for row in rows if base_key(row.key) == definition.key]
    return parameters_pb2.Parameter(
        key=definition.key,
        kind=definition.kind.value,
        open_because=definition.open_because,
        unset_reason=definition.unset_reason,
        values=[*of_pack, *published],
    )


def _json_of(value: Value) -> str:
    plain: object = sorted(value) if isinstance(value, frozenset) else value
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, default=str)
