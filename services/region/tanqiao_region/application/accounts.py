"""Accounts: opened by the offices that the rule pack names, closed when nothing is left in them.

A person's account is opened by a data-platform operator's hand alone; what the operator calls its user is
sealed under a key of that person, and nothing else of a person is kept (ARCHITECTURE section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_resident_id, check_uscc
from tanqiao.kernel.ids import ADDRESS_RANDOM_BYTES, make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao_region.application import journal
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group, new_account_id
from tanqiao_region.application.rules import actor_of, subject_of
from tanqiao_region.domain.rules.facts import OpenAccount, ReceiveTransfer
from tanqiao_region.storage import accounts as store
from tanqiao_region.storage import holdings
from tanqiao_region.storage.accounts import AccountRow, PersonRow

ORGANISATIONS_WITH_CODE: Final = frozenset(
    {
        store.KIND_ENTERPRISE,
        store.KIND_SMALL_BUSINESS,
        store.KIND_DATA_OPERATOR,
        store.KIND_COVERED_EMITTER,
    }
)
"""Kinds that must show a credit code; authorities, exchanges and buyers from elsewhere may have none."""
RANGES_SHOWN_MAX: Final = 20
OPERATORS_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """Open one account; texts are trimmed, and the kind is set."""

    request: ClientRequest
    by: By
    kind: int
    display_name: str = ""
    uscc: str = ""
    operator_account_id: str = ""
    operator_reference: str = ""
    seat: str = ""
    invented: bool = False


OpenAnswer = AccountRow | DomainError


def open_accounts(group: Group, orders: tuple[OpenOrder, ...]) -> list[OpenAnswer]:
    """Open accounts in order, each as if alone; an account opened for the same request is given again."""
    group.require_clock()
    work = _Opening(group, orders)
    answers: list[OpenAnswer] = []
    for order in orders:
        try:
            answers.append(work.open(order))
        except DomainError as refusal:
            answers.append(refusal)
    store.insert_accounts(group.connection, work.accounts)
    store.insert_persons(group.connection, work.persons)
    return answers


class _Opening:
    """The accounts that one command opens: what it looks at, and what it will write."""

    def __init__(self, group: Group, orders: tuple[OpenOrder, ...]) -> None:
        self._group = group
        self.accounts: list[AccountRow] = []
        self.persons: list[PersonRow] = []
        self._known: dict[str, AccountRow] = {}
        group.load_answers([order.request for order in orders])
        operators = {order.operator_account_id for order in orders if order.operator_account_id}
        self._operators = store.load_accounts(group.connection, operators)
        references = [
            (order.operator_account_id, self._index(order)) for order in orders if order.operator_reference
        ]
        self._references = set(store.known_references(group.connection, references))

    def _index(self, order: OpenOrder) -> bytes:
        return self._group.context.secrets.index(order.operator_account_id, order.operator_reference)

    def open(self, order: OpenOrder) -> AccountRow:
        group = self._group
        stored = group.known_answer(order.request)
        if stored is not None:
            return self._answered(stored.decode())
        if order.kind == store.KIND_PERSON:
            self._check_person(order)
        else:
            _check_organisation(order)
        account = self._account(order)
        verdict = group.pack.require(
            OpenAccount(
                on=group.legal_date,
                node_region=group.context.region_code,
                object_region=group.context.region_code,
                actor=actor_of(order.by),
                holder=subject_of(account, group.context.region_code),
            )
        )
        self._note(order, account)
        group.journal.append(
            journal.ACCOUNT_OPENED,
            account.account_id,
            (journal.Effect(account.account_id),),
            applied=journal.Applied.of(verdict),
            details={"kind": str(account.kind), "by": order.by.party},
        )
        group.note_answer(order.request, account.account_id.encode())
        return account

    def _answered(self, account_id: str) -> AccountRow:
        known = self._known.get(account_id)
        return known or store.load_accounts(self._group.connection, (account_id,))[account_id]

    def _check_person(self, order: OpenOrder) -> None:
        """Refuse what would name the person, and an operator that is none."""
        for field in ("display_name", "uscc"):
            if getattr(order, field):
                detail = "a person is known by the operator's reference alone"
                raise DomainError("FIELD_INVALID", field=field, detail=detail)
        operator = self._operators.get(order.operator_account_id)
        if operator is None or operator.kind != store.KIND_DATA_OPERATOR or not operator.is_open:
            raise DomainError(
                "INDIVIDUAL_NEEDS_OPERATOR", field="operator_account_id", list=self._list_of_operators()
            )
        if not order.operator_reference:
            raise DomainError("FIELD_MISSING", field="operator_reference")
        if _is_identity_number(order.operator_reference):
            detail = "an identity number never enters the registry"
            raise DomainError("FIELD_INVALID", field="operator_reference", detail=detail)
        if (order.operator_account_id, self._index(order)) in self._references:
            raise DomainError("ALREADY_EXISTS", field="operator_reference", what="account", id="")

    def _list_of_operators(self) -> list[str]:
        rows = store.list_accounts(
            self._group.connection,
            kind=store.KIND_DATA_OPERATOR,
            operator_account_id="",
            opened_by=None,
            after="",
            limit=OPERATORS_SHOWN_MAX,
        )
        return [row.display_name for row in rows if row.is_open] or ["–"]

    def _account(self, order: OpenOrder) -> AccountRow:
        context = self._group.context
        account_id = new_account_id(context.random_bytes)
        return AccountRow(
            account_id,
            order.kind,
            store.OPEN,
            order.display_name,
            order.uscc,
            order.operator_account_id or None,
            order.seat,
            order.invented,
            context.secrets.pseudonym(account_id),
            self._group.now,
            order.by.party,
        )

    def _note(self, order: OpenOrder, account: AccountRow) -> None:
        self.accounts.append(account)
        self._known[account.account_id] = account
        if account.kind == store.KIND_DATA_OPERATOR:
            self._operators[account.account_id] = account
        if order.kind != store.KIND_PERSON:
            return
        sealed = self._group.context.secrets.seal(
            account.account_id, order.operator_account_id, order.operator_reference
        )
        self._references.add((order.operator_account_id, sealed.index))
        self.persons.append(
            PersonRow(
                account.account_id,
                order.operator_account_id,
                sealed.index,
                sealed.sealed,
                sealed.wrapped_key,
            )
        )


def _check_organisation(order: OpenOrder) -> None:
    if order.kind == store.KIND_SUSPENSE:
        raise DomainError("ACCOUNT_KIND_NOT_ALLOWED", field="kind", kind="SUSPENSE", action="OpenAccount")
    if not order.display_name:
        raise DomainError("FIELD_MISSING", field="display_name")
    if order.operator_reference or order.operator_account_id:
        field = "operator_reference" if order.operator_reference else "operator_account_id"
        raise DomainError("FIELD_INVALID", field=field, detail="for persons only")
    if order.kind == store.KIND_EXTERNAL_BUYER and not order.seat:
        raise DomainError("FIELD_MISSING", field="seat")
    if order.uscc:
        check_uscc(order.uscc)
    elif order.kind in ORGANISATIONS_WITH_CODE:
        raise DomainError("FIELD_MISSING", field="uscc")


def _is_identity_number(text: str) -> bool:
    try:
        check_resident_id(text)
    except DomainError:
        return False
    return True


def close_account(group: Group, request: ClientRequest, by: By, account_id: str) -> AccountRow:
    """Close an account in which nothing is left.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_UNKNOWN, ACCOUNT_CLOSED, ACCOUNT_HAS_LOCKED_UNITS (R7),
            STATE_NOT_ALLOWED if it holds units.
    """
    group.require_clock()
    if group.find_answer(request) is not None:
        return store.load_accounts(group.connection, (account_id,))[account_id]
    require_permitted(group, by, OpenAccount.act(), "CloseAccount")
    account = store.load_accounts(group.connection, (account_id,)).get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id)
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field="account_id", account_id=account_id)
    rows = holdings.list_holdings(
        group.connection, account_id=account_id, series_id="", after=None, limit=RANGES_SHOWN_MAX
    )
    held_kg = holdings.balance(group.connection, account_id)
    if held_kg.get(holdings.LOCKED) or held_kg.get(holdings.RETIRING):
        ranges = [f"{row.series_id}[{row.start},{row.end})" for row in rows if row.place[1] != holdings.HELD]
        raise DomainError("ACCOUNT_HAS_LOCKED_UNITS", account_id=account_id, ranges=ranges)
    if held_kg.get(holdings.HELD):
        state = f"holding {held_kg[holdings.HELD]} kg"
        raise DomainError("STATE_NOT_ALLOWED", what="account", id=account_id, state=state, needed="empty")
    store.set_closed(group.connection, account_id)
    group.journal.append(
        journal.ACCOUNT_CLOSED, account_id, (journal.Effect(account_id),), details={"by": by.party}
    )
    group.note_answer(request, account_id.encode())
    return store.load_accounts(group.connection, (account_id,))[account_id]


def create_address(group: Group, request: ClientRequest, by: By, account_id: str) -> str:
    """Make a receiving address: random, with check characters, opaque to everybody else.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_UNKNOWN, ACCOUNT_CLOSED, ACCOUNT_KIND_NOT_ALLOWED.
    """
    group.require_clock()
    stored = group.find_answer(request)
    if stored is not None:
        return stored.decode()
    require_permitted(group, by, ReceiveTransfer.act(), "CreateReceivingAddress")
    account = store.load_accounts(group.connection, (account_id,)).get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id)
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field="account_id", account_id=account_id)
    if account.kind == store.KIND_SUSPENSE:
        raise DomainError(
            "ACCOUNT_KIND_NOT_ALLOWED", field="account_id", kind="SUSPENSE", action="CreateReceivingAddress"
        )
    drawn = group.context.random_bytes(ADDRESS_RANDOM_BYTES)
    address = make_address(RegionCode(group.context.region_code), drawn)
    store.insert_address(group.connection, address, account_id, group.now)
    group.note_answer(request, address.encode())
    return address


def require_permitted(group: Group, by: By, act: str, action: str) -> None:
    """Refuse a role to which the pack's table does not give the act; ROLE_NOT_PERMITTED names who may."""
    roles = group.pack.data.roles
    if roles.permits(by.role, act):
        return
    bodies = [roles.roles[role].body_en for role in sorted(roles.roles_for(act)) if role in roles.roles]
    raise DomainError("ROLE_NOT_PERMITTED", role=by.role, action=action, body=" / ".join(bodies) or "–")
