"""Public lists (RULES section 10): the pack says which and with which fields, here is where each comes from.

Nothing of a person is shown: an applicant is named if it is an organisation. A list that the pack has and the
node keeps no register for is empty, and says that it is not kept yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import disclosure_pb2, dossiers_pb2, registers_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash
from tanqiao_region.application.certificates import PUBLIC_STATES
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.dossier_acts import KINDS_OF_DOSSIER
from tanqiao_region.application.list_sources import SCAN_PAGE, CountedSince, Past, Present
from tanqiao_region.application.project_acts import is_scene
from tanqiao_region.application.register_checks import (
    CONNECTED,
    DATA_VALIDATED,
    ENDED,
    NOTICE,
    OBJECTED,
    PUBLISHED,
    SUSPENDED,
)
from tanqiao_region.domain.rules.pack import DisclosureList, RulePack
from tanqiao_region.domain.rules.parameters import Provenance, base_key
from tanqiao_region.storage import accounts, disclosure, issuance, registers
from tanqiao_region.storage.body_decisions import signatures_under
from tanqiao_region.storage.journal import journal_head, read_entries
from tanqiao_region.storage.versions import kept_from

Row = tuple[str, dict[str, str]]
"""Position behind which the next page begins, and the values by field."""
SECONDS_DIGITS_MAX: Final = 12
REGISTERED_SCENES: Final = ("ON_PLATFORM", "SUSPENDED")
SHOWN_PROJECTS: Final = frozenset({NOTICE, OBJECTED, PUBLISHED})
SHOWN_SCENES: Final = SHOWN_PROJECTS | {DATA_VALIDATED, CONNECTED, SUSPENDED, ENDED}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider reads from: one snapshot, the registers now or then, the pack in force on the day."""

    connection: sa.Connection
    registers: Present
    pack: RulePack
    day: date


Provider = Callable[[Reading, str, int], list[Row]]


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a list."""

    disclosure: disclosure_pb2.Disclosure
    rows: Sequence[tuple[str, Sequence[str]]]
    as_of_index: int
    as_of_seconds: int


class Disclosures:
    """Reads public lists.

    Args:
        context: the node's own things.
        database: read only.
    """

    def __init__(self, context: RegionContext, database: Database) -> None:
        self._context = context
        self._database = database
        self._counted = CountedSince()

    def lists(self, as_of_index: int = 0) -> tuple[list[disclosure_pb2.Disclosure], int]:
        """Give what the region publishes, and the journal's index.

        Raises:
            DomainError: as `page` does for the index.
        """
        with self._database.reading() as connection:
            reading, index, _ = self._reading(connection, as_of_index)
        return [shown_list(reading.pack, one) for one in reading.pack.data.disclosures], index

    def page(self, slug: str, after: str, limit: int, as_of_index: int = 0) -> Part:
        """Give a page of a list as it stands, or as it stood when an entry of the journal was the last one.

        What depends on the day is judged on the day of that entry.

        Raises:
            DomainError: NOT_FOUND for a list that the region's rules do not know, FIELD_INVALID,
                JOURNAL_INDEX_AHEAD, JOURNAL_INDEX_TOO_EARLY.
        """
        with self._database.reading() as connection:
            reading, index, recorded_at = self._reading(connection, as_of_index)
            found = next((one for one in reading.pack.data.disclosures if one.slug == slug), None)
            if found is None:
                raise DomainError("NOT_FOUND", field="slug", what="list", id=slug[:48])
            provider = PROVIDERS.get(slug)
            rows = [] if provider is None else provider(reading, after, limit)
        shown = [(position, [values.get(name, "") for name in found.fields]) for position, values in rows]
        return Part(shown_list(reading.pack, found), shown, index, recorded_at)

    def _reading(self, connection: sa.Connection, as_of_index: int) -> tuple[Reading, int, int]:
        """Give from what is read, its index of the journal, and when that entry was recorded."""
        head, recorded_at = journal_head(connection)
        if as_of_index < 0:
            raise DomainError("FIELD_INVALID", field="as_of_index", detail=str(as_of_index))
        if as_of_index > head:
            raise DomainError("JOURNAL_INDEX_AHEAD", index=as_of_index, head=head)
        if as_of_index in (0, head):
            today = legal_date(self._context.now())
            present = Reading(connection, Present(connection), self._context.pack(today), today)
            return present, head, recorded_at
        first = kept_from(connection)
        if as_of_index < first:
            raise DomainError("JOURNAL_INDEX_TOO_EARLY", index=as_of_index, first=first)
        entry = read_entries(connection, from_index=as_of_index, limit=1)[0]
        past = Past(connection, as_of_index, self._counted.since(connection, as_of_index, head))
        day = date.fromisoformat(entry.legal_date)
        pack = self._context.pack.with_rows(past.parameters())(day)
        return Reading(connection, past, pack, day), as_of_index, entry.recorded_at


def shown_list(pack: RulePack, one: DisclosureList) -> disclosure_pb2.Disclosure:
    """Give a list's head with the article that is behind it."""
    text = pack.article(one.rule_id)
    return disclosure_pb2.Disclosure(
        slug=one.slug,
        title_zh=one.title_zh,
        title_en=one.title_en,
        fields=one.fields,
        rule_id=one.rule_id,
        article_zh=text.zh,
        article_en=text.en,
        ordered_by_law=one.ordered_by_law,
        not_kept_yet=one.slug not in PROVIDERS,
    )


# -- registers


def _methodologies(reading: Reading, after: str, limit: int) -> list[Row]:
    found = reading.registers.methodologies(after, limit)
    today = reading.day.isoformat()
    rows: list[Row] = []
    for one in found:
        file = reading.registers.dossier(dossiers_pb2.DOSSIER_KIND_METHODOLOGY, one.methodology_id)
        stop, superseded = registers.iso_text(one.stop_date), registers.iso_text(one.supersede_date)
        status = "published"
        if stop and stop <= today:
            status = "stopped"
        elif superseded and superseded <= today:
            status = "superseded"
        published = registers.iso_text(one.publish_date)
        kind = registers_pb2.MethodologyKind.Name(one.kind).rpartition("_")[2].lower()
        values = {
            "number": one.methodology_id,
            "title": one.title,
            "kind": kind,
            "unit_class": one.unit_class,
            "version": one.methodology_id,
            "developer": "" if file is None else ", ".join(file.authors),
            "registered_on": published,
            "published_on": published,
            "text": one.document,
            "status": status,
        }
        rows.append((one.methodology_id, values))
    return rows


def _consultations(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(one: dossiers_pb2.Dossier) -> dict[str, str] | None:
        if not one.consultation.HasField("first_day") or one.HasField("publish_date"):
            return None
        return {
            "number": one.dossier_id,
            "draft": one.title,
            "first_day": registers.iso_text(one.consultation.first_day),
            "last_day": registers.iso_text(one.consultation.last_day),
            "how_to_comment": "向主管机构提交 to the competent body",
            "answers": "answered" if one.consultation.comments_answered else "",
        }

    return _files(reading, "methodology", (), after, limit, shown)


def _files(
    reading: Reading,
    machine: str,
    states: Sequence[str],
    after: str,
    limit: int,
    shown: Callable[[dossiers_pb2.Dossier], dict[str, str] | None],
) -> list[Row]:
    """Walk over the dossiers of a register; a page of what is shown of them."""
    kind = next((kind for kind, one in KINDS_OF_DOSSIER.items() if one.machine == machine), None)
    rows: list[Row] = []
    if kind is None:
        return rows
    while found := reading.registers.dossiers(kind, states, after, SCAN_PAGE):
        for one in found:
            values = shown(one)
            if values is not None:
                rows.append((one.dossier_id, values))
            if len(rows) == limit:
                return rows
        after = found[-1].dossier_id
    return rows


def _shown_projects(reading: Reading, after: str, limit: int, *, scenes: bool) -> list[registers_pb2.Project]:
    """Walk over the projects, or the reduction scenes, that everybody may see; a page of them."""
    states = SHOWN_SCENES if scenes else SHOWN_PROJECTS
    found: list[registers_pb2.Project] = []
    while len(found) < limit:
        part = reading.registers.projects(after, SCAN_PAGE)
        found += [one for one in part if one.state in states and is_scene(one) == scenes]
        if len(part) < SCAN_PAGE:
            break
        after = part[-1].project_id
    return found[:limit]


def _projects(reading: Reading, after: str, limit: int) -> list[Row]:
    found = _shown_projects(reading, after, limit, scenes=False)
    names = _names(reading, [one.owner_account_id for one in found])
    issued = reading.registers.issued_of_projects([one.project_id for one in found])
    return [
        (
            one.project_id,
            {
                "number": one.project_id,
                "applicant": names.get(one.owner_account_id, ""),
                "participant": names.get(one.owner_account_id, ""),
                "methodology": one.methodology_id,
                "verifier": one.verifier.body,
                "quantity_kg": str(issued.get(one.project_id, 0)),
                "notice_first_day": registers.iso_text(one.notice_first_day),
                "notice_last_day": registers.iso_text(one.notice_last_day),
                "registered_on": registers.iso_text(one.publish_date),
                "published_on": registers.iso_text(one.publish_date),
            },
        )
        for one in found
    ]


def _names(reading: Reading, account_ids: Sequence[str]) -> dict[str, str]:
    known = accounts.load_accounts(reading.connection, account_ids)
    return {name: row.display_name for name, row in known.items() if not row.is_personal}


def _scenes(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(one: dossiers_pb2.Dossier) -> dict[str, str]:
        return {
            "name": one.title,
            "type": one.field,
            "operator": _names(reading, [one.account_id]).get(one.account_id, ""),
            "norm_version": one.norm_id,
            "label_number": one.label_number,
            "labelled_on": registers.iso_text(one.publish_date),
            "status": one.state.lower(),
        }

    return _files(
        reading, "low_carbon_scene", ("ON_PLATFORM", "SUSPENDED", "DELABELLED"), after, limit, shown
    )


def _reduction_scenes(reading: Reading, after: str, limit: int) -> list[Row]:
    found = _shown_projects(reading, after, limit, scenes=True)
    names = _names(reading, [one.owner_account_id for one in found])
    return [
        (
            one.project_id,
            {
                "number": one.project_id,
                "applicant": names.get(one.owner_account_id, ""),
                "methodology": one.methodology_id,
                "bodies": ", ".join(sorted({role for change in one.history for role in change.signed_by})),
                "notice_first_day": registers.iso_text(one.notice_first_day),
                "notice_last_day": registers.iso_text(one.notice_last_day),
                "published_on": registers.iso_text(one.publish_date),
            },
        )
        for one in found
    ]


def _norms(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(one: dossiers_pb2.Dossier) -> dict[str, str]:
        return {
            "title": one.title,
            "version": one.dossier_id,
            "departments": ", ".join(one.authors),
            "published_on": registers.iso_text(one.publish_date),
            "text": ", ".join(document.name for document in one.documents),
        }

    return _files(reading, "scene_norm", ("PUBLISHED", "SUPERSEDED"), after, limit, shown)


def _third_parties(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(one: dossiers_pb2.Dossier) -> dict[str, str]:
        return {
            "body": one.title,
            "status": one.state.lower(),
            "since": registers.iso_text(one.state_date),
        }

    return _files(reading, "third_party", ("QUALIFIED", "SUSPENDED"), after, limit, shown)


def _rights_providers(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(one: dossiers_pb2.Dossier) -> dict[str, str]:
        left = registers.iso_text(one.state_date) if one.state == "LEFT" else ""
        admitted = registers.iso_text(one.publish_date) or (
            "" if left else registers.iso_text(one.state_date)
        )
        return {"name": one.title, "admitted_on": admitted, "left_on": left}

    return _files(reading, "rights_provider", ("ADMITTED", "LEFT"), after, limit, shown)


def _experts(reading: Reading, after: str, limit: int) -> list[Row]:
    found = reading.registers.experts(after, limit)
    return [
        (one.expert_id, {"name": one.name, "field": ", ".join(one.fields), "employer": one.employer})
        for one in found
    ]


def _reserve(reading: Reading, after: str, limit: int) -> list[Row]:
    position = None
    if after:
        low_income, _, entry_id = after.partition(":")
        position = (low_income == "1", entry_id)
    found = reading.registers.entries(position, limit)
    return [
        (
            f"{int(one.low_income_area)}:{one.entry_id}",
            {
                "number": one.entry_id,
                "kind": one.resource_kind,
                "project_type": one.project_type,
                "scope": "ftz" if one.ftz_area else "province_by_reference",
                "area": one.ftz_area,
                "potential_kg_per_year": str(one.potential_kg_per_year),
                "potential_method": one.potential_method,
                "state": one.state.lower(),
                "low_income_area": "yes" if one.low_income_area else "no",
            },
        )
        for one in found
    ]


def _counters(reading: Reading, after: str, limit: int) -> list[Row]:
    """Give what a plan sets a number for: published methodologies, registered scenes (SP-11d)."""
    counts = {
        "published_methodologies": reading.registers.count_methodologies(),
        "registered_scenes": reading.registers.count_dossiers(
            dossiers_pb2.DOSSIER_KIND_LOW_CARBON_SCENE, REGISTERED_SCENES
        ),
    }
    rows: list[Row] = [(name, {"counter": name, "count": str(count)}) for name, count in counts.items()]
    return _behind(rows, after, limit)


# -- units


def _issuances(reading: Reading, after: str, limit: int) -> list[Row]:
    created_at, _, issuance_id = after.partition(":")
    if after and not (created_at.isdecimal() and len(created_at) <= SECONDS_DIGITS_MAX):
        raise DomainError("PAGE_TOKEN_INVALID", field="page_token")
    position = (int(created_at), issuance_id) if after else (0, "")
    shown: list[issuance.ShownIssuance] = []
    while len(shown) < limit:
        part = issuance.list_issuances(reading.connection, project_id="", after=position, limit=SCAN_PAGE)
        shown += [one for one in part if reading.registers.is_issued(one)]
        if len(part) < SCAN_PAGE:
            break
        position = (part[-1].created_at, part[-1].issuance_id)
    shown = shown[:limit]
    names = _names(reading, [one.account_id for one in shown])
    series_ids = [one.series_id for one in shown]
    classes = {one[0]: one[1:] for one in issuance.series_classes(reading.connection, series_ids)}
    sums = reading.registers.sums_of_series(series_ids)
    used: dict[str, list[str]] = {}
    for use in reading.registers.uses_by_series(series_ids):
        used.setdefault(use.key, []).append(f"{use.purpose} {use.year}: {use.quantity_kg}")
    requests = disclosure.requests_of_issuances(reading.connection, [one.issuance_id for one in shown])
    rows: list[Row] = []
    for one in shown:
        asked = registers_pb2.IssueUnitsRequest.FromString(requests.get(one.issuance_id, b""))
        methodology, unit_class = classes.get(one.series_id, ("", ""))
        held = sums[one.series_id]
        values = {
            "project": one.project_id,
            "participant": names.get(one.account_id, ""),
            "methodology": methodology,
            "unit_class": unit_class,
            "vintage": one.start_date[: disclosure.YEAR],
            "quantity_kg": str(one.end_serial - one.start_serial),
            "serials": f"{one.series_id}[{one.start_serial},{one.end_serial})",
            "issued_on": one.legal_date,
            "override": asked.override_reason,
            "approved_by": _approvers(reading, asked),
            "retired_by_purpose": "; ".join(used.get(one.series_id, ())),
            "held_total": str(held.held_kg),
            "frozen_total": str(held.frozen_kg),
            "cancelled_total": str(held.cancelled_kg),
        }
        rows.append((f"{one.created_at}:{one.issuance_id}", values))
    return rows


def _approvers(reading: Reading, asked: registers_pb2.IssueUnitsRequest) -> str:
    """Name the bodies whose officers approved an issuance outside of the yearly rhythm, and no officer."""
    if not asked.approval.payload:
        return ""
    signed = message_hash(asked.approval.payload_type, asked.approval.payload)
    return "; ".join(sorted({one.party for one in signatures_under(reading.connection, signed)}))


def _uses(reading: Reading, after: str, limit: int) -> list[Row]:
    rows: list[Row] = []
    for use in reading.registers.uses_by_class():
        position = f"{use.key}:{use.purpose}:{use.year}"
        values = {
            "purpose": use.purpose,
            "unit_class": use.key,
            "year": use.year,
            "quantity_kg": str(use.quantity_kg),
        }
        rows.append((position, values))
    return _behind(rows, after, limit)


def _behind(rows: Sequence[Row], after: str, limit: int) -> list[Row]:
    return sorted((row for row in rows if row[0] > after), key=lambda row: row[0])[:limit]


def _certificates(reading: Reading, after: str, limit: int) -> list[Row]:
    found = reading.registers.certificates(PUBLIC_STATES, after, limit)
    return [
        (
            one.number,
            {
                "number": one.number,
                "valid": "yes"
                if one.state == PUBLIC_STATES[0]
                else f"revoked {registers.iso_text(one.revoke_date)}",
                "beneficiary": one.beneficiary_name,
                "quantity_kg": str(one.quantity_kg),
            },
        )
        for one in found
    ]


# -- rules and agreements


def _rule_documents(reading: Reading, after: str, limit: int) -> list[Row]:
    return [
        (
            f"{one.key}:{one.start_date}",
            {
                "title": one.key,
                "version": one.start_date,
                "valid_from": one.start_date,
                "published_on": one.start_date,
                "link": one.document_reference,
            },
        )
        for one in sorted(reading.registers.parameters())
        if f"{one.key}:{one.start_date}" > after
    ][:limit]


def _parameter_tables(
    reading: Reading, after: str, limit: int, name: str, shown: Callable[[str, object], dict[str, str]]
) -> list[Row]:
    """Show the values of a parameter of the pack, whose key stands behind the pack's own prefix."""
    rows: list[Row] = []
    definition = f"{reading.pack.identity.pack_id.partition('-')[0]}.{name}"
    for value in reading.pack.parameters.values_of(definition):
        if value.provenance is Provenance.DEMONSTRATION and not reading.pack.parameters.is_test_network:
            continue
        begins = "" if value.valid_from is None else value.valid_from.isoformat()
        ends = "" if value.valid_to is None else value.valid_to.isoformat()
        position = f"{value.key}:{begins}"
        rows.append((position, {"valid_from": begins, "valid_to": ends, **shown(value.key, value.value)}))
    return _behind(rows, after, limit)


def _offset_notices(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(key: str, value: object) -> dict[str, str]:
        table = value if isinstance(value, dict) else {}
        year = key.removeprefix(base_key(key)[:-1]).rstrip("]")
        used_kg = reading.registers.used_for_purpose_kg("compliance", int(year)) if year.isdecimal() else 0
        scope = [f"{name}={table[name]}" for name in ("vintages", "programmes") if name in table]
        return {
            "year": year,
            "scope": "; ".join(scope),
            "cap_kg": str(table.get("cap_kg", "")),
            "rules": str(table.get("rules", "")),
            "used_kg": str(used_kg),
        }

    return _parameter_tables(reading, after, limit, "offset_notice[]", shown)


def _points_rule(reading: Reading, after: str, limit: int) -> list[Row]:
    def shown(_key: str, value: object) -> dict[str, str]:
        table = value if isinstance(value, dict) else {}
        return {"rate": str(table.get("rate", ""))}

    return _parameter_tables(reading, after, limit, "points_rule", shown)


def _agreements(reading: Reading, after: str, limit: int) -> list[Row]:
    rows: list[Row] = []
    for one in reading.registers.agreements():
        values = {
            "from_region": one.from_region,
            "to_region": one.to_region,
            "programmes": ", ".join(sorted(one.programmes)),
            "purposes": ", ".join(sorted(one.purposes)),
            "valid_from": one.valid_from.isoformat(),
            "valid_to": "" if one.valid_to is None else one.valid_to.isoformat(),
        }
        rows.append((one.agreement_id, values))
    return _behind(rows, after, limit)


PROVIDERS: Final[dict[str, Provider]] = {
    "methodologies": _methodologies,
    "methodologies-in-consultation": _consultations,
    "projects": _projects,
    "low-carbon-scenes": _scenes,
    "reduction-scenes": _reduction_scenes,
    "evaluation-norms": _norms,
    "expert-pool": _experts,
    "counters": _counters,
    "third-parties": _third_parties,
    "rights-providers": _rights_providers,
    "issue-and-use": _issuances,
    "issuances": _issuances,
    "uses": _uses,
    "certificates": _certificates,
    "offset-notice": _offset_notices,
    "points-rule": _points_rule,
    "policies": _rule_documents,
    "rule-documents": _rule_documents,
    "recognition-agreements": _agreements,
    "reserve": _reserve,
}
"""List → where its rows come from."""
