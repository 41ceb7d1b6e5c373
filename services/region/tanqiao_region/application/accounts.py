"""Accounts: opened by the offices that the rule pack names, closed when nothing is left in them.

A person's account is opened by a data-platform operator's hand alone; what the operator calls its user is
sealed under a key of that person, and nothing else of a person is kept (ARCHITECTURE section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_resident_id, check_uscc
from tanqiao.kernel.ids import ADDRESS_RANDOM_BYTES, make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.signing.parties import parse_party
from tanqiao_region.application import journal
from tanqiao_region.application.access import of_another, offices_of, refusal, represents
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group, new_account_id
from tanqiao_region.application.rules import actor_of, subject_of
from tanqiao_region.domain.rules.articles import ArticleText
from tanqiao_region.domain.rules.facts import OpenAccount, ReceiveTransfer, Subject
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
BY_REFERENCE_ALONE: Final = ArticleText(
    "节点政策：登记簿不识别个人，个人由平台运营机构以其自有代号指代",
    "node policy: the registry names no person; a platform refers to its user by a token of its own",
)
"""Where a text lets persons take part themselves: nothing of a person is kept (ARCHITECTURE section 4)."""


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
    holder_party: str = ""
    owner_account_id: str = ""


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
    store.delete_persons(group.connection, work.moved)
    store.insert_persons(group.connection, work.persons)
    return answers


class _Opening:
    """The accounts that one command opens: what it looks at, and what it will write."""

    def __init__(self, group: Group, orders: tuple[OpenOrder, ...]) -> None:
        self._group = group
        self.accounts: list[AccountRow] = []
        self.persons: list[PersonRow] = []
        self.moved: list[str] = []
        """Closed accounts of persons who have a new one: the operator's reference goes with the person."""
        self._known: dict[str, AccountRow] = {}
        group.load_answers([order.request for order in orders])
        operators = {order.operator_account_id for order in orders if order.operator_account_id}
        self._operators = store.load_accounts(group.connection, operators)
        owners = {order.owner_account_id for order in orders if order.owner_account_id}
        self._earlier = store.load_accounts(group.connection, owners)
        references = [
            (order.operator_account_id, self._index(order)) for order in orders if order.operator_reference
        ]
        self._references = store.known_references(group.connection, references)
        self._earlier |= store.load_accounts(group.connection, self._references.values())

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
            if order.operator_account_id:
                self._require_operator(order)
            if order.owner_account_id:
                self._require_same_owner(order)
        check_holder_party(order.holder_party, group.context.region_code)
        account = self._account(order)
        verdict = group.pack.require(self._facts(order, subject_of(account, group.context.region_code)))
        self._require_opener(order, account)
        self._note(order, account)
        group.journal.append(
            journal.ACCOUNT_OPENED,
            account.account_id,
            (journal.Effect(account.account_id),),
            applied=journal.Applied.of(verdict),
            details=_opening_details(order, account),
        )
        group.note_answer(order.request, account.account_id.encode())
        return account

    def _require_opener(self, order: OpenOrder, account: AccountRow) -> None:
        """Refuse who neither keeps the accounts of the region nor opens one for a user of its own."""
        if offices_of(self._group.pack).keep(order.by):
            return
        own_user = account.operator_account_id and represents(
            order.by, replace(account, holder_party=""), self._operators
        )
        if not own_user:
            raise of_another(order.by.party, OpenAccount.act())

    def _answered(self, account_id: str) -> AccountRow:
        known = self._known.get(account_id)
        return known or store.load_accounts(self._group.connection, (account_id,))[account_id]

    def _check_person(self, order: OpenOrder) -> None:
        """Refuse what would name the person, and an operator that is none."""
        for field in ("display_name", "uscc", "holder_party"):
            if getattr(order, field):
                detail = "a person is known by the operator's reference alone"
                raise DomainError("FIELD_INVALID", field=field, detail=detail)
        self._require_operator(order)
        if not order.operator_reference:
            raise DomainError("FIELD_MISSING", field="operator_reference")
        if is_identity_number(order.operator_reference):
            detail = "an identity number never enters the registry"
            raise DomainError("FIELD_INVALID", field="operator_reference", detail=detail)
        if order.owner_account_id:
            detail = "a person is known by the operator's reference"
            raise DomainError("FIELD_INVALID", field="owner_account_id", detail=detail)
        earlier = self._earlier_of(order)
        if earlier is not None and earlier.is_open:
            raise DomainError("ALREADY_EXISTS", field="operator_reference", what="account", id="")

    def _earlier_of(self, order: OpenOrder) -> AccountRow | None:
        """Give another account of the same owner: the person's before, or the one that the office names."""
        known = order.owner_account_id
        if order.kind == store.KIND_PERSON:
            known = self._references.get((order.operator_account_id, self._index(order)), "")
        return self._known.get(known) or self._earlier.get(known)

    def _require_same_owner(self, order: OpenOrder) -> None:
        """Refuse a named account that cannot be the same owner's; the keeping office vouches for the rest."""
        named = self._earlier_of(order)
        if named is None:
            raise DomainError("ACCOUNT_UNKNOWN", field="owner_account_id", account_id=order.owner_account_id)
        if not offices_of(self._group.pack).keep(order.by):
            raise of_another(order.by.party, OpenAccount.act())
        if named.is_personal or (order.uscc and named.uscc and order.uscc != named.uscc):
            raise DomainError("FIELD_INVALID", field="owner_account_id", detail="another owner's account")

    def _require_operator(self, order: OpenOrder) -> None:
        operator = self._operators.get(order.operator_account_id)
        if operator is None or operator.kind != store.KIND_DATA_OPERATOR or not operator.is_open:
            why = self._why_through_an_operator(order)
            raise DomainError(
                "INDIVIDUAL_NEEDS_OPERATOR",
                field="operator_account_id",
                article=why.en,
                article_zh=why.zh,
                list=store.open_operators(self._group.connection) or ["–"],
            )

    def _why_through_an_operator(self, order: OpenOrder) -> ArticleText:
        """Give the article by which individuals act through an operator, or the node's own policy.

        Raises:
            DomainError: what else the rules say first of who opens an account here.
        """
        alone = subject_of(
            replace(self._account(order), operator_account_id=None), self._group.context.region_code
        )
        try:
            self._group.pack.require(self._facts(order, alone))
        except DomainError as refusal:
            if refusal.symbol != "INDIVIDUAL_NEEDS_OPERATOR" or refusal.article is None:
                raise
            return ArticleText(str(refusal.metadata.get("article_zh", refusal.article)), refusal.article)
        return BY_REFERENCE_ALONE

    def _facts(self, order: OpenOrder, holder: Subject) -> OpenAccount:
        group = self._group
        return OpenAccount(
            on=group.legal_date,
            node_region=group.context.region_code,
            object_region=group.context.region_code,
            actor=actor_of(order.by),
            holder=holder,
        )

    def _account(self, order: OpenOrder) -> AccountRow:
        context = self._group.context
        account_id = new_account_id(context.random_bytes)
        earlier = self._earlier_of(order)
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
            holder_party=order.holder_party,
            owner_id=account_id if earlier is None else earlier.owner_id,
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
        key = (order.operator_account_id, sealed.index)
        if key in self._references:
            self.moved.append(self._references[key])
        self._references[key] = account.account_id
        self.persons.append(
            PersonRow(
                account.account_id,
                order.operator_account_id,
                sealed.index,
                sealed.sealed,
                sealed.wrapped_key,
            )
        )


def _opening_details(order: OpenOrder, account: AccountRow) -> dict[str, str]:
    details = {"kind": str(account.kind), "by": order.by.party}
    if account.holder_party:
        details["holder_party"] = account.holder_party
    if account.owner_id != account.account_id:
        details["owner"] = account.owner_id
    return details


def _check_organisation(order: OpenOrder) -> None:
    if order.kind == store.KIND_SUSPENSE:
        raise DomainError("ACCOUNT_KIND_NOT_ALLOWED", field="kind", kind="SUSPENSE", action="OpenAccount")
    if not order.display_name:
        raise DomainError("FIELD_MISSING", field="display_name")
    if order.operator_reference:
        raise DomainError("FIELD_INVALID", field="operator_reference", detail="for persons only")
    if order.operator_account_id and order.kind != store.KIND_SMALL_BUSINESS:
        detail = "for persons and small businesses only"
        raise DomainError("FIELD_INVALID", field="operator_account_id", detail=detail)
    if order.kind == store.KIND_EXTERNAL_BUYER and not order.seat:
        raise DomainError("FIELD_MISSING", field="seat")
    if order.uscc:
        check_uscc(order.uscc)
    elif order.kind in ORGANISATIONS_WITH_CODE:
        raise DomainError("FIELD_MISSING", field="uscc")


def is_identity_number(text: str) -> bool:
    """Whether a text is the identity number of a resident."""
    try:
        check_resident_id(text)
    except DomainError:
        return False
    return True


def check_holder_party(party: str, region_code: str) -> None:
    """Refuse what is not the name of a holder or an operator of this region; empty is nobody.

    Raises:
        DomainError: FIELD_INVALID for ``holder_party``.
    """
    if not party:
        return
    named = parse_party(party, field="holder_party")
    if named.kind not in HOLDER_KINDS or named.region_code != region_code:
        detail = f"a party of this region is wanted: holder/{region_code}/ROLE/NAME"
        raise DomainError("FIELD_INVALID", field="holder_party", detail=detail)


HOLDER_KINDS: Final = frozenset({"holder", "operator"})


def set_holder(group: Group, request: ClientRequest, by: By, account_id: str, party: str) -> AccountRow:
    """Say whose certificate acts for an account from here on; by the office that keeps the accounts.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_OF_ANOTHER for a role that keeps no accounts,
            ACCOUNT_UNKNOWN, ACCOUNT_KIND_NOT_ALLOWED for a person, FIELD_INVALID.
    """
    group.require_clock()
    if group.find_answer(request) is not None:
        return store.load_accounts(group.connection, (account_id,))[account_id]
    require_permitted(group, by, OpenAccount.act(), "SetAccountHolder")
    if not offices_of(group.pack).keep(by):
        raise of_another(by.party, "SetAccountHolder")
    check_holder_party(party, group.context.region_code)
    account = store.load_accounts(group.connection, (account_id,)).get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id)
    if account.is_personal:
        raise DomainError(
            "ACCOUNT_KIND_NOT_ALLOWED", field="account_id", kind="PERSON", action="SetAccountHolder"
        )
    store.set_holder_party(group.connection, account_id, party)
    group.journal.append(
        journal.ACCOUNT_HOLDER_SET,
        account_id,
        (journal.Effect(account_id),),
        details={"holder_party": party, "before": account.holder_party, "by": by.party},
    )
    group.note_answer(request, account_id.encode())
    return replace(account, holder_party=party)


def require_keeper_or_holder(group: Group, by: By, act: str, account_id: str) -> AccountRow:
    """Give an account that the caller may open, close or make an address of.

    Raises:
        DomainError: ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER.
    """
    accounts = group.load_accounts((account_id,))
    account = accounts.get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id)
    barred = refusal(by, act, account, accounts, offices_of(group.pack))
    if barred is not None:
        raise barred
    return account


def close_account(group: Group, request: ClientRequest, by: By, account_id: str) -> AccountRow:
    """Close an account in which nothing is left.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER, ACCOUNT_CLOSED,
            ACCOUNT_HAS_LOCKED_UNITS (R7), STATE_NOT_ALLOWED if it holds units.
    """
    group.require_clock()
    if group.find_answer(request) is not None:
        return store.load_accounts(group.connection, (account_id,))[account_id]
    require_permitted(group, by, OpenAccount.act(), "CloseAccount")
    account = require_keeper_or_holder(group, by, OpenAccount.act(), account_id)
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
    return replace(account, state=store.CLOSED)


def create_address(group: Group, request: ClientRequest, by: By, account_id: str) -> str:
    """Make a receiving address: random, with check characters, opaque to everybody else.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER, ACCOUNT_CLOSED,
            ACCOUNT_KIND_NOT_ALLOWED.
    """
    group.require_clock()
    stored = group.find_answer(request)
    if stored is not None:
        return stored.decode()
    require_permitted(group, by, ReceiveTransfer.act(), "CreateReceivingAddress")
    account = require_keeper_or_holder(group, by, ReceiveTransfer.act(), account_id)
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
