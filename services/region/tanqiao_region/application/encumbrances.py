"""Encumbrance of units: a creditor has a right in them, and they stay where they are (SP-16).

The holder encumbers, naming a creditor who has an account here; only both sides together release. Each signs
encumbrance and deed of release with the key of its certificate, so that signatures under two deeds never make
one release, and nobody has to believe the node. Where a rule pack gives nobody the act, nothing is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.region.v1 import encumbrances_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES, parse_id_hex
from tanqiao.kernel.units import total_quantity_kg
from tanqiao.rpc.protocol_facts import block_messages, date_message
from tanqiao.rpc.validation import optional_bytes, require_text
from tanqiao_region.application import journal
from tanqiao_region.application.access import OFFICE, bar, of_another, offices_of, represents
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.ledger import choose_lawfully, require_account
from tanqiao_region.application.register_checks import once
from tanqiao_region.application.release_statements import Certifying, Statements, taken
from tanqiao_region.application.rules import actor_of, subject_of
from tanqiao_region.domain.rules.facts import Encumber, ReleaseEncumbrance, UnitLot
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import accounts as account_store
from tanqiao_region.storage import encumbrances as store
from tanqiao_region.storage.accounts import KIND_SUSPENSE, AccountRow
from tanqiao_region.storage.encumbrances import EncumbranceRow, SignatureRow, StatementRow
from tanqiao_region.storage.packing import pack_blocks

DOCUMENT_LENGTH_MAX: Final = 400
DIGEST_BYTES: Final = 32
NOTHING: Final[Statements] = {}


class Encumbrances:
    """Encumbers units, notes signatures under releases, and shows both.

    Args:
        context: the node's own things.
        database: read for what there is.
        submit: the node's writer.
        certifying: what certificates under releases are held against.
    """

    def __init__(
        self, context: RegionContext, database: Database, submit: Submit, certifying: Certifying
    ) -> None:
        self._certifying = certifying
        self._context = context
        self._database = database
        self._submit = submit

    def encumber(
        self, ask: Ask, request: encumbrances_pb2.EncumberUnitsRequest, selection: Selection
    ) -> encumbrances_pb2.EncumberUnitsResponse:
        """Encumber units of the caller's account; with `validate_only` nothing is written."""

        def decide(group: Group) -> encumbrances_pb2.EncumberUnitsResponse:
            return encumbrances_pb2.EncumberUnitsResponse(
                encumbrance=_encumber(group, ask.by, request, selection)
            )

        if request.validate_only:
            return self._submit(decide)
        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return encumbrances_pb2.EncumberUnitsResponse.FromString(kept)

    def release(
        self, ask: Ask, request: encumbrances_pb2.ReleaseEncumbranceRequest
    ) -> encumbrances_pb2.ReleaseEncumbranceResponse:
        """Note the caller's signature under a release; the second side's frees the units."""
        kept = self._submit(
            lambda group: once(group, ask, lambda: _release(group, ask.by, request, self._certifying))
        )
        return encumbrances_pb2.ReleaseEncumbranceResponse.FromString(kept)

    def find(self, encumbrance_id: str, by: By) -> encumbrances_pb2.Encumbrance:
        """Give an encumbrance to one of its sides or to an office.

        Raises:
            DomainError: NOT_FOUND, also to everybody else.
        """
        wanted = parse_id_hex(encumbrance_id, field="encumbrance_id")
        with self._database.reading() as connection:
            row = store.load_encumbrance(connection, wanted)
            signatures = store.load_signatures(connection, [wanted])
            statements = store.load_statements(connection, [wanted])
            sides = [] if row is None else [row.account_id, row.creditor_account_id]
            accounts = account_store.load_accounts(connection, sides)
        if row is None or not (
            self._is_office(by) or any(represents(by, accounts[one], {}) for one in sides)
        ):
            raise not_found(encumbrance_id)
        return message_of(row, signatures, statements)

    def page(self, account_id: str, by: By, after: int, limit: int) -> list[encumbrances_pb2.Encumbrance]:
        """Give encumbrances of an account to its holder, and any to the offices.

        Raises:
            DomainError: ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER.
        """
        with self._database.reading() as connection:
            if not self._is_office(by):
                account = account_store.load_accounts(connection, [account_id]).get(account_id)
                if account_id and account is None:
                    raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id)
                if account is None or not represents(by, account, {}):
                    raise of_another(by.party, "ListEncumbrances")
            rows = store.list_encumbrances(connection, account_id=account_id, after=after, limit=limit)
            signatures = store.load_signatures(connection, [row.encumbrance_id for row in rows])
        return [
            message_of(row, [one for one in signatures if one.encumbrance_id == row.encumbrance_id])
            for row in rows
        ]

    def _is_office(self, by: By) -> bool:
        offices = offices_of(self._context.pack(legal_date(self._context.now())))
        return by.party.startswith(OFFICE) and (offices.keep(by) or offices.look(by))


def not_found(encumbrance_id: str) -> DomainError:
    """Give the refusal of an encumbrance that is not there, or not for the caller's eyes."""
    return DomainError("NOT_FOUND", field="encumbrance_id", what="encumbrance", id=encumbrance_id)


def message_of(
    row: EncumbranceRow, signatures: Sequence[SignatureRow] = (), statements: Statements = NOTHING
) -> encumbrances_pb2.Encumbrance:
    """Give an encumbrance as it is shown; lists of them go without what was signed."""
    return encumbrances_pb2.Encumbrance(
        encumbrance_id=row.encumbrance_id.hex(),
        account_id=row.account_id,
        creditor_account_id=row.creditor_account_id,
        blocks=block_messages(row.blocks),
        quantity_kg=total_quantity_kg(row.blocks),
        document_reference=row.document_reference,
        document_digest=row.document_digest,
        state=row.state,  # type: ignore[arg-type]  # numbers of the enumeration
        begin_date=date_message(row.begin_date),
        release_date=date_message(row.release_date) if row.release_date else None,
        signatures=[
            _signature_message(one, statements.get((one.encumbrance_id, one.release_digest, one.side)))
            for one in signatures
        ],
        journal_index=row.journal_index,
        agreement_digest=bytes.fromhex(content_sha256(row)),
    )


def _signature_message(
    one: SignatureRow, statement: StatementRow | None
) -> encumbrances_pb2.ReleaseSignature:
    made = encumbrances_pb2.ReleaseSignature(
        side=one.side,  # type: ignore[arg-type]  # numbers of the enumeration
        party=one.party,
        release_digest=one.release_digest,
        sign_time=Timestamp(seconds=one.signed_at),
        document_reference=one.document_reference,
    )
    if statement is not None:
        made.statement = statement.statement
        made.signature = statement.signature
        made.certificate = statement.certificate
        made.authority_certificate = statement.authority_certificate
        made.judge_time.seconds = statement.judged_at
    return made


def content_sha256(row: EncumbranceRow) -> str:
    """Give the digest under which the journal knows what was agreed, in hexadecimal."""
    parts = (
        row.encumbrance_id,
        row.account_id.encode(),
        row.creditor_account_id.encode(),
        pack_blocks(row.blocks),
        row.document_reference.encode(),
        row.document_digest,
    )
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(framed).hexdigest()


def _encumber(
    group: Group, by: By, request: encumbrances_pb2.EncumberUnitsRequest, selection: Selection
) -> encumbrances_pb2.Encumbrance:
    document = require_text(request.document_reference, "document_reference", length_max=DOCUMENT_LENGTH_MAX)
    digest = optional_bytes(request.document_digest, DIGEST_BYTES, "document_digest")
    group.require_clock()
    needs = Needs(accounts={request.creditor_account_id})
    needs.selection(request.account_id, selection)
    group.load(needs)
    holder = require_account(group, request.account_id, "account_id")
    creditor = require_account(group, request.creditor_account_id, "creditor_account_id")
    region = group.context.region_code

    def facts(lots: tuple[UnitLot, ...]) -> Encumber:
        return Encumber(
            on=group.legal_date,
            node_region=region,
            object_region=region,
            actor=actor_of(by),
            lots=lots,
            holder=subject_of(holder, region),
            creditor=subject_of(creditor, region),
            document=document,
        )

    barred = bar(group, by, Encumber.act(), holder)
    blocks, verdict = choose_lawfully(group, holder.account_id, selection, facts, barred=barred)
    _require_two_parties(holder, creditor)
    require_free(group, holder, blocks)
    row = EncumbranceRow(
        group.context.random_bytes(ID_BYTES),
        holder.account_id,
        creditor.account_id,
        store.IN_FORCE,
        blocks,
        document,
        digest,
        group.legal_date_text,
        "",
        0,
    )
    if request.validate_only:
        return message_of(row._replace(encumbrance_id=b""))
    row = row._replace(journal_index=_note(group, journal.UNITS_ENCUMBERED, row, by, verdict))
    store.insert_encumbrance(group.connection, row)
    return message_of(row)


def _require_two_parties(holder: AccountRow, creditor: AccountRow) -> None:
    """Refuse accounts that cannot be sides, and a creditor who is the holder itself."""
    for field, account in (("account_id", holder), ("creditor_account_id", creditor)):
        if account.is_personal or account.kind == KIND_SUSPENSE:
            kind = "SUSPENSE" if account.kind == KIND_SUSPENSE else "PERSON"
            raise DomainError("ACCOUNT_KIND_NOT_ALLOWED", field=field, kind=kind, action="EncumberUnits")
    same_party = holder.holder_party == creditor.holder_party
    if holder.has_owner_of(creditor) or same_party or not creditor.holder_party:
        detail = "债权人须为另一主体并有代表人 the creditor is another party, with one who acts for it"
        raise DomainError("FIELD_INVALID", field="creditor_account_id", detail=detail)


def _release(
    group: Group, by: By, request: encumbrances_pb2.ReleaseEncumbranceRequest, certifying: Certifying
) -> encumbrances_pb2.ReleaseEncumbranceResponse:
    encumbrance_id = parse_id_hex(request.encumbrance_id, field="encumbrance_id")
    document = require_text(request.document_reference, "document_reference", length_max=DOCUMENT_LENGTH_MAX)
    region = group.context.region_code
    verdict = group.pack.require(
        ReleaseEncumbrance(
            on=group.legal_date,
            node_region=region,
            object_region=region,
            actor=actor_of(by),
            encumbrance_id=request.encumbrance_id,
            document=document,
        )
    )
    row = store.load_encumbrance(group.connection, encumbrance_id)
    if row is None:
        raise not_found(request.encumbrance_id)
    side = _side_of(group, by, row)
    if row.state != store.IN_FORCE:
        raise DomainError(
            "STATE_NOT_ALLOWED",
            what="设质 encumbrance",
            id=request.encumbrance_id,
            state="RELEASED",
            needed="IN_FORCE",
        )
    agreement = bytes.fromhex(content_sha256(row))
    statement = taken(certifying, by.party, request, agreement)
    digest = hashlib.sha256(agreement + document.encode()).digest()
    signatures = store.load_signatures(group.connection, [encumbrance_id])
    sides = {one.side for one in signatures if one.release_digest == digest}
    if side not in sides:
        signature = SignatureRow(encumbrance_id, digest, side, by.party, document, group.now)
        store.insert_signature(group.connection, signature)
        statement = statement._replace(release_digest=digest, side=side)
        store.insert_statement(group.connection, statement)
        signatures.append(signature)
    if sides | {side} == {store.HOLDER, store.CREDITOR}:
        store.set_released(group.connection, encumbrance_id, group.legal_date_text)
        _note(group, journal.ENCUMBRANCE_RELEASED, row, by, verdict)
        row = row._replace(state=store.RELEASED, release_date=group.legal_date_text)
    statements = store.load_statements(group.connection, [encumbrance_id])
    return encumbrances_pb2.ReleaseEncumbranceResponse(encumbrance=message_of(row, signatures, statements))


def _side_of(group: Group, by: By, row: EncumbranceRow) -> int:
    """Say for which side the caller signs; one who acts for both would release alone."""
    accounts = group.load_accounts([row.account_id, row.creditor_account_id])
    sides = [
        side
        for side, account_id in ((store.HOLDER, row.account_id), (store.CREDITOR, row.creditor_account_id))
        if represents(by, accounts[account_id], accounts)
    ]
    if not sides:
        raise of_another(by.party, ReleaseEncumbrance.act())
    if len(sides) > 1:
        raise DomainError("SELF_APPROVAL_FORBIDDEN")
    return sides[0]


def _note(group: Group, kind: int, row: EncumbranceRow, by: By, verdict: Verdict) -> int:
    return group.journal.append(
        kind,
        row.encumbrance_id.hex(),
        (journal.Effect(row.account_id), journal.Effect(row.creditor_account_id)),
        applied=journal.Applied.of(verdict),
        details={
            "blocks": pack_blocks(row.blocks).decode(),
            "content_sha256": content_sha256(row),
            "by": by.party,
        },
    )
