"""What can be asked to issue and never does: reserve entries, labelled places, behaviour scenes.

The region's own article says so; where its text is silent, the refusal of the thing itself stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.kernel.units import SERIAL_MAX, UnitBlock
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossier_acts import BEHAVIOUR_SCENE, LOW_CARBON_SCENE
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, require_owner
from tanqiao_region.application.register_facts import participant_of
from tanqiao_region.application.rules import lots_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import dossiers as dossier_store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.holdings import load_series_from, load_touched

FIRST: Final = frozenset(
    {
        "ROLE_NOT_PERMITTED",
        "RULE_PACK_NOT_IN_FORCE",
        "RESERVE_ISSUES_NOTHING",
        "BEHAVIOUR_SCENE_ISSUES_NO_UNITS",
    }
)
SCENES: Final = {
    BEHAVIOUR_SCENE: acts.IssuanceSource.BEHAVIOUR_SCENE,
    LOW_CARBON_SCENE: acts.IssuanceSource.LOW_CARBON_SCENE,
}


def refuse_what_issues_nothing(group: Group, by: By, source_id: str, asked: Period) -> None:
    """Refuse units of what is no project and no reduction scene; nothing if it is neither known thing.

    Raises:
        DomainError: RESERVE_ISSUES_NOTHING, BEHAVIOUR_SCENE_ISSUES_NO_UNITS, FOREIGN_UNIT_STAYS_FOREIGN, what
            the rules say first.
    """
    entry = register_store.load_resource(group.connection, source_id)
    if entry is not None:
        _refuse(group, by, acts.IssuanceSource.RESERVE_ENTRY, source_id, entry.owner_account_id, asked)
        raise DomainError("RESERVE_ISSUES_NOTHING", field="project_id")
    for kind, source in SCENES.items():
        found = dossier_store.load_dossier(group.connection, kind, source_id)
        if found is not None and register_store.load_project(group.connection, source_id) is None:
            _refuse(group, by, source, source_id, found.message.account_id, asked)
            raise DomainError("BEHAVIOUR_SCENE_ISSUES_NO_UNITS", field="project_id")
    _refuse_what_is_foreign(group, by, source_id)


def _refuse_what_is_foreign(group: Group, by: By, source_id: str) -> None:
    """Refuse own units for those of another region's project that are held here: they stay what they are."""
    region = group.context.region_code
    series = load_series_from(group.connection, source_id, region)
    if not series or register_store.load_project(group.connection, source_id) is not None:
        return
    whole = [UnitBlock(series_id, 0, SERIAL_MAX - 1) for series_id in series]
    held = [UnitBlock(one.series_id, one.start, one.end) for one in load_touched(group.connection, whole)]
    authority = acts.Subject(subject_id=by.party, subject_type=acts.SubjectType.AUTHORITY, seat_region=region)
    lots = lots_of(held, series)
    if not lots:
        return
    group.pack.require(
        acts.ConvertHolding(
            **act_facts(group, by),
            holding=acts.HoldingKind.UNIT,
            target="unit",
            holder=authority,
            lots=lots,
        )
    )


def _refuse(
    group: Group, by: By, source: acts.IssuanceSource, source_id: str, account_id: str, asked: Period
) -> None:
    region = group.context.region_code
    if account_id:
        account = require_owner(group, account_id, "project_id")
        participant = participant_of(account, registers_pb2.Project(), region, group.legal_date)
    else:
        participant = acts.Subject(
            subject_id=source_id, subject_type=acts.SubjectType.AUTHORITY, seat_region=region
        )
    verdict = group.pack.evaluate(
        acts.ApproveIssuance(
            **act_facts(group, by),
            source=source,
            source_id=source_id,
            programme=group.pack.units.programme,
            participant=participant,
            methodology=None,
            quantity_kg=1,
            grain_kg=1,
            period_start=asked.start,
            period_end=asked.end,
            credited_subject_id=participant.subject_id,
        )
    )
    if not verdict.allowed:
        # What the thing is comes before what its file lacks; who may not ask at all is told that first.
        ordered = sorted(verdict.findings, key=lambda one: one.reason_symbol not in FIRST)
        raise replace(verdict, findings=tuple(ordered)).error()
