"""What happens to an entry of the reserve after it was entered: steps of its machine, and proofs of filing.

An entry is developed (YN-3), handed over to an application elsewhere (YN-14a), or leaves. What became of the
application is stated by the register that it was made to; it is shown here as it was imported, or not at
all. A proof of filing (YN-18) is a statement under the region's message key; nothing can be issued on it.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.region.v1 import dossiers_pb2, reserve_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, parse_wire_date, require_text, wire_date
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.access import require_acting_for
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once, require_id
from tanqiao_region.application.register_history import note_step
from tanqiao_region.application.reserve import office_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.lifecycles import BEFORE, Lifecycle
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import register_history
from tanqiao_region.storage import reserve as store
from tanqiao_region.storage.reserve import ENTRY

PROOF: Final = store.PROOF
PROOF_TYPE: Final = payload_type_of(reserve_pb2.FilingProof)
LINK: Final = "link"
EVENTS: Final = ("develop", LINK, "leave")
"""Events that a request takes; the others belong to the entry itself and to the claim at the bridge."""
PROGRAMME_LENGTH_MAX: Final = 32
REASON_LENGTH_MAX: Final = 2000


class ReserveSteps:
    """Takes steps with entries and signs proofs of filing.

    Args:
        database: for reading.
        submit: the node's writer.
    """

    def __init__(self, database: Database, submit: Submit) -> None:
        self._database = database
        self._submit = submit

    def take(
        self, ask: Ask, request: reserve_pb2.TakeResourceStepRequest
    ) -> reserve_pb2.TakeResourceStepResponse:
        """Take a step with an entry."""
        kept = self._submit(lambda group: once(group, ask, lambda: _take(group, ask.by, request)))
        return reserve_pb2.TakeResourceStepResponse.FromString(kept)

    def prove(
        self, ask: Ask, request: reserve_pb2.IssueFilingProofRequest
    ) -> reserve_pb2.IssueFilingProofResponse:
        """Sign a proof of filing."""
        kept = self._submit(lambda group: once(group, ask, lambda: _prove(group, ask.by, request)))
        return reserve_pb2.IssueFilingProofResponse.FromString(kept)

    def steps(
        self, entry_id: str, proof_number: str, after: int, limit: int
    ) -> list[dossiers_pb2.DossierStep]:
        """Give a page of the history of an entry or of a proof; NOT_FOUND without one."""
        register, object_id = (PROOF, proof_number) if proof_number else (ENTRY, entry_id)
        with self._database.reading() as connection:
            found = register_history.list_steps(connection, register, object_id, after=after, limit=limit)
        if not found and not after:
            field = "proof_number" if proof_number else "entry_id"
            raise DomainError("NOT_FOUND", field=field, what="reserve entry", id=object_id[:64])
        return found


def _entry(group: Group, by: By, entry_id: str, act: str) -> reserve_pb2.CarbonResource:
    """Give an entry as it stands, for its owner or an office.

    Raises:
        DomainError: NOT_FOUND, ACCOUNT_OF_ANOTHER.
    """
    resource = store.load_entry(group.connection, require_id(entry_id, "entry_id"))
    if resource is None:
        raise DomainError("NOT_FOUND", field="entry_id", what="reserve entry", id=entry_id)
    owner = group.load_accounts([resource.owner_account_id])[resource.owner_account_id]
    require_acting_for(group, by, act, owner)
    return resource


def _machine(group: Group, name: str) -> Lifecycle:
    """Give a machine of the pack; where it has none, there is nothing to take a step with."""
    found = group.pack.data.lifecycles.get(name)
    if found is None:
        raise DomainError("NOT_FOUND", field="entry_id", what=name, id=group.context.party)
    return found


def _take(
    group: Group, by: By, request: reserve_pb2.TakeResourceStepRequest
) -> reserve_pb2.TakeResourceStepResponse:
    if request.event not in EVENTS:
        raise DomainError("FIELD_INVALID", field="event", detail=", ".join(EVENTS))
    act = acts.LinkReserveEntry if request.event == LINK else acts.ChangeReserveEntry
    resource = _entry(group, by, request.entry_id, act.act())
    link = _link(request) if request.event == LINK else None
    reason = ""
    if request.event == "leave":
        reason = require_text(request.reason, "reason", length_max=REASON_LENGTH_MAX)
    verdict = _judged(group, by, resource, request.event, link)
    edge = _machine(group, ENTRY).step(resource.state, request.event, object_id=resource.entry_id)
    details = {}
    if link is not None:
        store.insert_link(group.connection, resource.entry_id, link)
        resource.link.CopyFrom(link)
        details = {"programme": link.programme, "outside_reference": link.outside_reference}
    note_step(
        group,
        journal.RESERVE_CHANGED,
        ENTRY,
        resource.entry_id,
        edge,
        by=by,
        verdict=verdict,
        number=store.count_steps(group.connection, resource.entry_id) + 1,
        account_ids=(resource.owner_account_id,),
        reason=reason,
        details=details,
    )
    resource.state = edge.to
    return reserve_pb2.TakeResourceStepResponse(resource=resource)


def _judged(
    group: Group,
    by: By,
    resource: reserve_pb2.CarbonResource,
    event: str,
    link: reserve_pb2.ResourceLink | None,
) -> Verdict:
    facts = act_facts(group, by) | {"actor": office_of(by, group.pack)}
    if link is None:
        return group.pack.require(
            acts.ChangeReserveEntry(**facts, entry_id=resource.entry_id, event=event, area=resource.ftz_area)
        )
    return group.pack.require(
        acts.LinkReserveEntry(
            **facts,
            entry_id=resource.entry_id,
            programme=link.programme,
            outside_reference=link.outside_reference,
            state_from_import=not link.outside_state or bool(link.source and link.as_of_date.year),
            area=resource.ftz_area,
        )
    )


def _link(request: reserve_pb2.TakeResourceStepRequest) -> reserve_pb2.ResourceLink:
    """Give a link as it was stated; that its number is missing is for the rules to say."""
    given = request.link
    link = reserve_pb2.ResourceLink(
        programme=require_text(given.programme, "link.programme", length_max=PROGRAMME_LENGTH_MAX),
        outside_reference=optional_text(given.outside_reference, "link.outside_reference"),
        outside_state=optional_text(given.outside_state, "link.outside_state"),
        source=optional_text(given.source, "link.source"),
    )
    if given.HasField("as_of_date"):
        link.as_of_date.CopyFrom(wire_date(parse_wire_date(given.as_of_date, "link.as_of_date")))
    return link


def _prove(
    group: Group, by: By, request: reserve_pb2.IssueFilingProofRequest
) -> reserve_pb2.IssueFilingProofResponse:
    resource = _entry(group, by, request.entry_id, acts.IssueFilingProof.act())
    verdict = group.pack.require(acts.IssueFilingProof(**act_facts(group, by), entry_id=resource.entry_id))
    machine = _machine(group, PROOF)
    known = store.count_proofs(group.connection, resource.entry_id)
    if known:
        _note_proof(group, by, verdict, machine, resource, known, superseded=True)
    number = _note_proof(group, by, verdict, machine, resource, known + 1)
    proof = reserve_pb2.FilingProof(
        header=group.context.header((group.context.party,), rules_digest=bytes.fromhex(verdict.pack.digest)),
        number=number,
        entry_id=resource.entry_id,
        title=resource.title,
        resource_kind=resource.resource_kind,
        ftz_area=resource.ftz_area,
        potential_kg_per_year=resource.potential_kg_per_year,
        enter_date=resource.enter_date,
        state=resource.state,
        link=resource.link if resource.HasField("link") else None,
        proof_date=wire_date(group.legal_date),
        claim_id=resource.claim_id,
        signed_at_index=group.context.known_index,
    )
    envelope = sign_envelope(group.context.signer, PROOF_TYPE, proof.SerializeToString())
    return reserve_pb2.IssueFilingProofResponse(proof=envelope, number=number)


def _note_proof(
    group: Group,
    by: By,
    verdict: Verdict,
    machine: Lifecycle,
    resource: reserve_pb2.CarbonResource,
    count: int,
    *,
    superseded: bool = False,
) -> str:
    """Note that a proof was signed, or that the next one took its place; its number."""
    number = f"{resource.entry_id}{store.PROOF_MARK}{count}"
    edge = machine.step("ISSUED", "supersede") if superseded else machine.step(BEFORE, "issue")
    note_step(
        group,
        journal.RESERVE_CHANGED,
        PROOF,
        number,
        edge,
        by=by,
        verdict=verdict,
        number=2 if superseded else 1,
        account_ids=(resource.owner_account_id,),
        details={"entry_id": resource.entry_id},
    )
    return number
