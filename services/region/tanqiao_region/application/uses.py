"""Uses: units retired for a purpose and a beneficiary, or cancelled (PROTOCOL row 8).

A Use is a transfer to a place that never sends. The holder cannot withdraw it; there is no certificate before
COMMIT, and an ABORT gives the units back with the reasons.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_uscc
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.kernel.units import UnitBlock, total_quantity_kg
from tanqiao.protocol.types import SINK, Kind, LockFacts, TransferKey
from tanqiao.rpc.protocol_facts import BLOCKS_PER_MESSAGE_MAX, block_messages, date_message
from tanqiao.signing.body_decisions import CANCELLATION
from tanqiao.signing.commitments import commitment
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.access import bar
from tanqiao_region.application.body_decisions import (
    approval_of,
    approver_of,
    keep_approval,
    named,
    require_fresh,
)
from tanqiao_region.application.commands import CreateUses, Retiring, UseOrder
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.ledger import choose_lawfully, require_account
from tanqiao_region.application.offering import promise
from tanqiao_region.application.rules import actor_of, subject_of
from tanqiao_region.domain.rules.facts import Cancel, Facts, LegalDocument, Recognition, Retire, UnitLot
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.accounts import KIND_PERSON, KIND_SUSPENSE, AccountRow
from tanqiao_region.storage.beneficiaries import BeneficiaryRow
from tanqiao_region.storage.transfers import RetirementRow, used_for_purpose_kg

USE_TYPE: Final = payload_type_of(messages_pb2.Use)
USE_KINDS: Final = {
    Kind.RETIRE: messages_pb2.USE_KIND_RETIRE,
    Kind.CANCEL: messages_pb2.USE_KIND_CANCEL,
}
DOCUMENT_PARTS: Final = 3
"""Issuer, number and date of a court's document, divided by semicolons; a fourth part: kilograms ordered."""

UseAnswer = Retiring | DomainError


def gather(group: Group, command: CreateUses, needs: Needs) -> None:
    """Say what the orders look at."""
    for order in command.orders:
        needs.requests.append(order.request)
        needs.selection(order.account_id, order.selection)
        key = (order.purpose, order.compliance_year)
        if order.compliance_year and key not in group.used_kg:
            group.used_kg[key] = used_for_purpose_kg(group.connection, *key)


def apply(group: Group, command: CreateUses) -> list[UseAnswer]:
    """Carry the orders out, in order, each as if alone."""
    answers: list[UseAnswer] = []
    for order in command.orders:
        try:
            answers.append(_apply(group, order))
        except DomainError as refusal:
            answers.append(refusal)
    return answers


def _apply(group: Group, order: UseOrder) -> Retiring:
    stored = group.known_answer(order.request)
    if stored is not None:
        return Retiring(stored, ())
    group.require_clock()
    holder = require_account(group, order.account_id, "account_id")
    if holder.kind == KIND_SUSPENSE:
        raise DomainError(
            "ACCOUNT_KIND_NOT_ALLOWED", field="account_id", kind="SUSPENSE", action=order.kind.name
        )
    if order.beneficiary_uscc:
        check_uscc(order.beneficiary_uscc)  # it is published: a resident's number must not stand in its place

    def facts(lots: tuple[UnitLot, ...]) -> Facts:
        return _facts(group, order, holder, lots)

    act = Cancel.act() if order.kind is Kind.CANCEL else Retire.act()
    barred = bar(group, order.by, act, holder)
    blocks, verdict = choose_lawfully(group, holder.account_id, order.selection, facts, barred=barred)
    require_free(group, holder, blocks, source=group.context.party, destination=SINK)
    if len(blocks) > BLOCKS_PER_MESSAGE_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="units", limit=BLOCKS_PER_MESSAGE_MAX, count=len(blocks))
    if order.validate_only:
        return Retiring(b"", blocks)
    if order.cancellation is None:
        return begin_use(group, order, holder, blocks, verdict)
    approval = approval_of(group, order.by, order.cancellation, CANCELLATION, order.account_id)
    require_fresh(group, approval)
    begun = begin_use(group, order, holder, blocks, verdict)
    keep_approval(group, order.cancellation, approval)
    return begun


def _facts(group: Group, order: UseOrder, holder: AccountRow, lots: tuple[UnitLot, ...]) -> Facts:
    region = group.context.region_code
    actor = actor_of(order.by)
    if order.kind is Kind.CANCEL:
        return Cancel(
            on=group.legal_date,
            node_region=region,
            object_region=region,
            actor=actor,
            lots=lots,
            reason=order.purpose_text,
            document=order.document_reference,
            second_approver_id=None if order.cancellation is None else approver_of(order.cancellation),
        )
    used = group.used_kg.get((order.purpose, order.compliance_year), {})
    return Retire(
        on=group.legal_date,
        node_region=region,
        object_region=region,
        actor=actor,
        lots=lots,
        holder=subject_of(holder, region),
        beneficiary_id=_beneficiary_id(order, holder),
        purpose=order.purpose,
        purpose_text=order.purpose_text,
        year=order.compliance_year or None,
        document=parse_document(order.document_reference),
        recognitions=_recognitions(group, lots),
        used_in_year_kg=sum(used.values()),
        used_by_holder_in_year_kg=used.get(holder.account_id, 0),
    )


def _beneficiary_id(order: UseOrder, holder: AccountRow) -> str:
    """For whom the units are used; somebody who is named neither by code nor by name is the holder."""
    if order.beneficiary_uscc:
        return holder.account_id if order.beneficiary_uscc == holder.uscc else order.beneficiary_uscc
    if order.beneficiary_name and order.beneficiary_name != holder.display_name:
        return order.beneficiary_name
    return holder.account_id


def _recognitions(group: Group, lots: tuple[UnitLot, ...]) -> tuple[Recognition, ...]:
    home = group.context.region_code
    origins = {lot.origin_region for lot in lots if lot.origin_region != home}
    return tuple(
        record for origin in sorted(origins) for record in group.context.recognitions.get((origin, home), ())
    )


def parse_document(reference: str) -> LegalDocument | None:
    """Read ``court; number; 2026-03-01``, and kilograms as a fourth part; None for any other form."""
    parts = [part.strip() for part in reference.replace("；", ";").split(";")]
    if len(parts) not in (DOCUMENT_PARTS, DOCUMENT_PARTS + 1) or not all(parts):
        return None
    try:
        dated = date.fromisoformat(parts[2])
        ordered_kg = int(parts[3]) if len(parts) > DOCUMENT_PARTS else None
    except ValueError:
        return None
    return LegalDocument(issuer=parts[0], number=parts[1], dated=dated, ordered_kg=ordered_kg)


def begin_use(
    group: Group, order: UseOrder, holder: AccountRow, blocks: tuple[UnitBlock, ...], verdict: Verdict
) -> Retiring:
    """Promise a use of units that are held and free: nothing is asked any more."""
    context = group.context
    drawn = context.random_bytes(5 * ID_BYTES)
    use_id, message_id, beneficiary_salt, owner_salt, fresh = (
        drawn[at : at + ID_BYTES] for at in range(0, 5 * ID_BYTES, ID_BYTES)
    )
    pseudonym = fresh if holder.is_personal else holder.pseudonym
    beneficiary = _beneficiary(order, holder)
    quantity_kg = total_quantity_kg(blocks)
    payload = messages_pb2.Use(
        header=context.header(
            (BRIDGE,),
            message_id=message_id,
            source=context.party,
            transfer_id=use_id,
            rules_digest=bytes.fromhex(verdict.pack.digest),
        ),
        blocks=block_messages(blocks),
        kind=USE_KINDS[order.kind],
        purpose=order.purpose,
        beneficiary_commitment=commitment(beneficiary.encode(), beneficiary_salt),
        owner_commitment=commitment(pseudonym, owner_salt),
        quantity_kg=quantity_kg,
        retiring_date=date_message(group.legal_date),
        document_digest=order.document_digest,
    ).SerializeToString()
    companion = messages_pb2.Openings(owner_pseudonym=pseudonym, owner_salt=owner_salt).SerializeToString()
    use = LockFacts(
        TransferKey(context.party, use_id),
        message_hash(USE_TYPE, payload),
        order.kind,
        SINK,
        blocks,
        order.purpose,
    )
    promise(group, holder.account_id, use, USE_TYPE, payload, companion)
    if _may_be_a_person(order, holder, beneficiary):
        sealed = context.secrets.seal_text(use_id.hex(), beneficiary_salt.hex() + beneficiary)
        group.new_beneficiaries.append(BeneficiaryRow(use_id, *sealed))
        beneficiary, beneficiary_salt = "", b""
    group.new_retirements.append(_row(group, order, use_id, beneficiary, beneficiary_salt, blocks, verdict))
    if order.compliance_year:
        used = group.used_kg[order.purpose, order.compliance_year]
        used[holder.account_id] = used.get(holder.account_id, 0) + quantity_kg
    group.journal.append(
        journal.UNITS_RETIRING,
        use_id.hex(),
        (journal.Effect(holder.account_id, removed=blocks),),
        applied=journal.Applied.of(verdict),
        message_hash=use.message_hash,
        details=None if order.cancellation is None else named(order.cancellation),
        shared={"kind": order.kind.name, "purpose": order.purpose, "by": order.by.party},
    )
    group.note_answer(order.request, use_id)
    return Retiring(use_id, blocks)


def _beneficiary(order: UseOrder, holder: AccountRow) -> str:
    """Whose name is committed to; nobody's where a pseudonym was asked for or the holder is a person."""
    if order.pseudonymous:
        return ""
    return order.beneficiary_name or ("" if holder.kind == KIND_PERSON else holder.display_name)


def _may_be_a_person(order: UseOrder, holder: AccountRow, beneficiary: str) -> bool:
    """Whether a name must not stand in plain in a table from which nothing is taken out.

    An organisation is named by its credit code or is the holder itself; any other name may be a person's.
    """
    if holder.is_personal:
        return bool(beneficiary)
    return bool(beneficiary) and not order.beneficiary_uscc and beneficiary != holder.display_name


def _row(
    group: Group,
    order: UseOrder,
    use_id: bytes,
    beneficiary: str,
    salt: bytes,
    blocks: tuple[UnitBlock, ...],
    verdict: Verdict,
) -> RetirementRow:
    return RetirementRow(
        transfer_id=use_id,
        kind=int(order.kind),
        purpose=order.purpose,
        purpose_text=order.purpose_text,
        beneficiary_name=beneficiary,
        beneficiary_uscc="" if order.pseudonymous else order.beneficiary_uscc,
        pseudonymous=order.pseudonymous,
        beneficiary_salt=salt,
        document_reference=order.document_reference,
        article=_article(group, order, blocks),
        compliance_year=order.compliance_year,
        retiring_date=group.legal_date_text,
        decision_date="",
        rule_pack_id=verdict.pack.pack_id,
        rule_pack_version=verdict.pack.version,
        requested_by=order.by.party,
    )


def _article(group: Group, order: UseOrder, blocks: tuple[UnitBlock, ...]) -> str:
    """Cite what allows the purpose for the first block's kind of unit; empty for a cancellation."""
    if order.kind is Kind.CANCEL:
        return ""
    row = group.series[blocks[0].series_id]
    lot = UnitLot(
        series_id=row.series_id,
        programme=row.programme,
        origin_region=row.region_code,
        start=blocks[0].start,
        end=blocks[0].end,
        vintage=row.vintage_year,
        unit_class=row.unit_class,
    )
    purposes = group.pack.data.purposes
    cell = purposes.cells.get((order.purpose, purposes.kind_of(lot, group.context.region_code)))
    if cell is None:
        return ""
    text = group.pack.article(cell.rule_id)
    return f"{text.zh} / {text.en}"
