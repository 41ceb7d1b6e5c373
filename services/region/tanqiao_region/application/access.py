"""Who may act for an account, and who may look at it (RULES section 7.1).

A role says what a body may do at all, and the rule pack decides that. Here stands for *whose* account: the
account names one party, its holder's; a data-platform operator acts for the accounts of its users; the
offices that keep the accounts settle transfers of all of them, and never retire what is another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.commands import By
from tanqiao_region.domain.rules.facts import Cancel, OpenAccount, ReceiveTransfer, TransferLocal, TransferOut
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.roles import ANY_ROLE, RoleTable
from tanqiao_region.storage.accounts import AccountRow, Viewer

if TYPE_CHECKING:
    from tanqiao_region.application.group import Group

KEEPING: Final = "ReconcileHolding"
"""The act that only an office which keeps the accounts of the region performs."""
LOOKING: Final = "ReadRegister"
BY_KEEPERS: Final = frozenset(
    {OpenAccount.act(), TransferLocal.act(), TransferOut.act(), ReceiveTransfer.act()}
)
"""Acts that the keeping office performs for any holder: it opens and closes, settles, makes addresses."""
OFFICE: Final = "operator/"
"""Kind of party under which the bodies of a region act; a holder's certificate is never an office's."""
PACKS_KEPT_MAX: Final = 16

Accounts = Mapping[str, AccountRow]


@dataclass(frozen=True, slots=True)
class Offices:
    """Roles of the pack that keep the accounts, and those that the law lets look at all of them."""

    keeping: frozenset[str]
    looking: frozenset[str]

    def keep(self, by: By) -> bool:
        """Whether an office acts that keeps the accounts."""
        return by.party.startswith(OFFICE) and by.role in self.keeping

    def look(self, by: By) -> bool:
        """Whether an office acts that may look at every organisation's account."""
        return by.party.startswith(OFFICE) and by.role in self.looking

    def viewer(self, by: By) -> Viewer:
        """Give what the caller may see."""
        keeps = self.keep(by)
        return Viewer(by.party, organisations=keeps or self.look(by), opened=keeps)


@lru_cache(maxsize=PACKS_KEPT_MAX)
def _offices(roles: RoleTable) -> Offices:
    keeping = roles.roles_for(KEEPING) - {ANY_ROLE}
    everywhere = [duty.roles for duty in roles.duties if duty.act == LOOKING and not duty.same_area]
    return Offices(keeping, frozenset().union(*everywhere) - {ANY_ROLE})


def offices_of(pack: RulePack) -> Offices:
    """Give the offices of a pack."""
    return _offices(pack.data.roles)


def operators_of(accounts: Iterable[AccountRow]) -> set[str]:
    """Give the accounts of the data-platform operators behind some accounts."""
    return {account.operator_account_id for account in accounts if account.operator_account_id}


def represents(by: By, account: AccountRow, accounts: Accounts) -> bool:
    """Whether the caller is the holder of the account, or the operator whose user holds it.

    Args:
        by: who acts.
        account: whose units they are.
        accounts: holds the account of the operator where there is one.
    """
    if account.holder_party and account.holder_party == by.party:
        return True
    operator = accounts.get(account.operator_account_id or "")
    return operator is not None and operator.is_open and operator.holder_party == by.party


def refusal(
    by: By, act: str, account: AccountRow, accounts: Accounts, offices: Offices
) -> DomainError | None:
    """Give why the caller may not do this for this account; None where it may.

    Whether its role may do it at all is for the rule pack to say, and is said first.
    """
    if represents(by, account, accounts) or (act in BY_KEEPERS and offices.keep(by)):
        return None
    if act == Cancel.act() and (offices.keep(by) or offices.look(by)):
        return None  # never a holder's act: the pack gives it to an office, with a second approver
    if account.is_personal and not offices.keep(by):
        return DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account.account_id)
    return of_another(by.party, act)


def bar(group: Group, by: By, act: str, account: AccountRow) -> DomainError | None:
    """Give the same within a group that has loaded the account, and its operator's where it has one."""
    return refusal(by, act, account, group.accounts, offices_of(group.pack))


def require_acting_for(group: Group, by: By, act: str, account: AccountRow) -> None:
    """Demand that a holder's certificate acts for an account that is its own or its user's.

    A body of the region (`operator/`) hands in for any owner what the rule pack lets its role hand in.

    Raises:
        DomainError: ACCOUNT_OF_ANOTHER; ACCOUNT_UNKNOWN where the account is a person's.
    """
    if by.party.startswith(OFFICE):
        return
    accounts = group.load_accounts(sorted(operators_of([account])))
    if represents(by, account, accounts):
        return
    if account.is_personal:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account.account_id)
    raise of_another(by.party, act)


def of_another(party: str, act: str) -> DomainError:
    """Give the refusal of somebody who is not the holder of the account concerned."""
    return DomainError("ACCOUNT_OF_ANOTHER", caller=party, action=act)
