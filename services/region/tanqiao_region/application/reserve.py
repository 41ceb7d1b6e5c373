"""The reserve of carbon resources: entries are recorded and published, never issued or traded (YN-3, YN-4c).

An entry is declared at the bridge so that others see it; the check bars nobody. A second entry on one asset
waits for a person: it is refused here while the first stands, and held by the bridge where another region
has it.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import dossiers_pb2, reserve_pb2
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import optional_text, require_count, require_text, wire_date
from tanqiao_region.application import journal
from tanqiao_region.application.claim_messages import entry_claim, fresh_claim_id
from tanqiao_region.application.claim_steps import Ask, Begun, ClaimSteps, Outcome, StepKind
from tanqiao_region.application.claims_client import Receipt, sign_statement
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import REFERENCES_MAX, act_facts, require_id, require_owner
from tanqiao_region.application.register_facts import (
    claim_answer,
    date_or_none,
    is_barred,
    needs_a_person,
    refusal_of_verdict,
)
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import register_history
from tanqiao_region.storage import registers as store
from tanqiao_region.storage import reserve as entries
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.registers import ResourceRow, StepRow

POTENTIAL_KG_MAX: Final = 10**13
"""Ten thousand million tonnes a year: about what the whole country emits."""
YEARS_OF_PROSPECT: Final = 10
"""An entry is a prospect without a crediting period: its claim is stated for so many years."""


class Reserve:
    """Entries of the reserve.

    Args:
        database: for reading.
        steps: commands that need the bridge.
    """

    def __init__(self, database: Database, steps: ClaimSteps) -> None:
        self._database = database
        self._steps = steps
        steps.register({StepKind.ENTER_RESOURCE: _Entry()})

    def enter(self, ask: Ask) -> reserve_pb2.EnterResourceResponse:
        """Enter a carbon resource."""
        return reserve_pb2.EnterResourceResponse.FromString(self._steps.run(StepKind.ENTER_RESOURCE, ask))

    def list(self, after: tuple[bool, str] | None, limit: int) -> list[reserve_pb2.CarbonResource]:
        """Give a page of the public list: entries of low-income areas first (YN-15)."""
        with self._database.reading() as connection:
            return list(entries.list_entries(connection, after=after, limit=limit))


def _clean(given: reserve_pb2.CarbonResource) -> reserve_pb2.CarbonResource:
    """Give what an applicant may say of an entry; its date and its claim are the node's."""
    require_count(given.asset.references, "resource.asset.references", limit=REFERENCES_MAX)
    if not 0 <= given.potential_kg_per_year <= POTENTIAL_KG_MAX:
        raise DomainError(
            "FIELD_INVALID", field="resource.potential_kg_per_year", detail=str(given.potential_kg_per_year)
        )
    resource = reserve_pb2.CarbonResource(
        entry_id=require_id(given.entry_id, "resource.entry_id"),
        title=require_text(given.title, "resource.title"),
        resource_kind=require_text(given.resource_kind, "resource.resource_kind", length_max=64),
        owner_account_id=require_text(
            given.owner_account_id, "resource.owner_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        ),
        asset=given.asset,
        potential_kg_per_year=given.potential_kg_per_year,
        ftz_area=optional_text(given.ftz_area, "resource.ftz_area", length_max=8),
        invented=given.invented,
        project_type=optional_text(given.project_type, "resource.project_type", length_max=64),
        potential_method=optional_text(given.potential_method, "resource.potential_method"),
        low_income_area=given.low_income_area,
    )
    if resource.resource_kind not in set(acts.ReserveKind):
        kinds = ", ".join(sorted(acts.ReserveKind))
        raise DomainError("FIELD_INVALID", field="resource.resource_kind", detail=kinds)
    if given.HasField("potential_date"):
        resource.potential_date.CopyFrom(given.potential_date)
    return resource


def _asset_keys(resource: reserve_pb2.CarbonResource) -> tuple[str, ...]:
    references = (asset_ref(one.scheme, one.value) for one in resource.asset.references)
    return tuple(sorted({asset_key(reference) for reference in references}))


class _Entry:
    """Enter a carbon resource: checked, declared at the bridge, then entered."""

    def _evaluate(
        self,
        group: Group,
        by: By,
        resource: reserve_pb2.CarbonResource,
        owner: AccountRow,
        claim: acts.ClaimAnswer | None,
    ) -> Verdict:
        facts = act_facts(group, by) | {"actor": office_of(by, group.pack)}
        area = resource.ftz_area or None
        keys = _asset_keys(resource)
        return group.pack.evaluate(
            acts.EnterReserve(
                **facts,
                entry_id=resource.entry_id,
                kind=acts.ReserveKind(resource.resource_kind),
                scope=acts.ReserveScope.FTZ if area else acts.ReserveScope.PROVINCE_BY_REFERENCE,
                area=area,
                place_region=resource.asset.region_code,
                project_type=resource.project_type,
                owner=subject_of(owner, group.context.region_code),
                potential_kg_per_year=resource.potential_kg_per_year,
                potential_method=resource.potential_method,
                potential_dated=date_or_none(resource.potential_date),
                asset_keys=frozenset(keys),
                same_asset_entries=store.entries_with_asset(group.connection, keys),
                claim=claim,
            )
        )

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check the entry and sign its declaration."""
        resource = _clean(reserve_pb2.EnterResourceRequest.FromString(ask.body).resource)
        if store.load_resource(group.connection, resource.entry_id) is not None:
            raise DomainError(
                "ALREADY_EXISTS", field="resource.entry_id", what="reserve entry", id=resource.entry_id
            )
        owner = require_owner(group, resource.owner_account_id, "resource.owner_account_id")
        verdict = self._evaluate(group, ask.by, resource, owner, None)
        if not verdict.allowed:
            raise verdict.error()
        today = group.legal_date
        period = Period(today, today.replace(year=today.year + YEARS_OF_PROSPECT, day=1))
        claim = entry_claim(group.context.region_code, group.pack, resource, owner, period)
        spent = store.spent_claims(group.connection, resource.entry_id)
        claim.claim_id = fresh_claim_id(claim.claim_id, spent)
        resource.claim_id = claim.claim_id
        statement = sign_statement(group.context, claims_pb2.DeclareStatement(claim=claim))
        return Begun(resource.entry_id, statement, resource.SerializeToString())

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Enter it, unless the bridge holds it for a person."""
        resource = reserve_pb2.CarbonResource.FromString(step.command)
        by = By(step.caller, step.role)
        verdict = receipt.message.verdict
        owner = group.load_accounts([resource.owner_account_id])[resource.owner_account_id]
        answer = claim_answer(verdict, resource.claim_id, group.legal_date)
        rules = self._evaluate(group, by, resource, owner, answer)
        if is_barred(verdict) or needs_a_person(verdict):
            return refusal_of_verdict(verdict, rules)
        resource.enter_date.CopyFrom(wire_date(group.legal_date))
        resource.claim_receipt.CopyFrom(receipt.envelope)
        store.insert_resource(
            group.connection,
            ResourceRow(resource, resource.claim_id, _asset_keys(resource), group.now, step.caller),
        )
        index = group.journal.append(
            journal.RESERVE_ENTERED,
            resource.entry_id,
            (journal.Effect(resource.owner_account_id),),
            applied=journal.Applied.of(rules),
            message_hash=receipt.receipt_hash,
            details={"by": step.caller, "kind": resource.resource_kind, "claim_id": resource.claim_id},
        )
        _note_entering(group, by, resource.entry_id, rules, index)
        resource.state = entries.ENTERED
        return reserve_pb2.EnterResourceResponse(resource=resource, verdict=verdict).SerializeToString()

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The bridge took no claim: there is no entry."""
        del group, step, refusal


def _note_entering(group: Group, by: By, entry_id: str, verdict: Verdict, index: int) -> None:
    """Begin the history: an entry is identified and entered in one act."""
    machine = group.pack.data.lifecycles[entries.ENTRY]
    state = BEFORE
    for number, event in enumerate(("identify", "enter"), 1):
        edge = machine.step(state, event, object_id=entry_id)
        state = edge.to
        step = dossiers_pb2.DossierStep(
            step_number=number,
            event=event,
            from_state=edge.state,
            to_state=edge.to,
            role=by.role,
            legal_date=wire_date(group.legal_date),
            rule_ids=verdict.rules_applied,
            journal_index=index,
        )
        register_history.insert_step(group.connection, entries.ENTRY, entry_id, by.party, step)


def office_of(by: By, pack: RulePack) -> acts.Actor:
    """Give who acts, with the area of a local office: ``yn.area_committee.KM`` is the committee of KM."""
    role, _, area = by.role.rpartition(".")
    if by.role not in pack.data.roles.roles and role in pack.data.roles.roles:
        return acts.Actor(subject_id=by.party, role=role, area=area)
    return acts.Actor(subject_id=by.party, role=by.role)
