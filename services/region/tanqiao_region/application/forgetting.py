"""Deletion of personal data (ARCHITECTURE section 4): the rows and keys of a person go, the ledger stays.

What goes: what an operator calls its user, with the key that reads it, the sealed names and salts of whom
the account's uses were for, and whose mandates and consents they were; those that stood are withdrawn. What
stays: the random account number with its units and entries, and in signed messages commitments that nobody
can open any more. Nothing that is digested or signed changes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao_region.application import consents, journal
from tanqiao_region.application.accounts import require_keeper_or_holder, require_permitted
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.domain.rules.facts import OpenAccount
from tanqiao_region.storage import accounts as store
from tanqiao_region.storage import beneficiaries, holdings
from tanqiao_region.storage import journal as journal_store

ACTION: Final = "DeletePersonalData"
RETENTION: Final = "personal_data_retention_days"
"""Parameter of a pack, behind its prefix: how long after an account's last entry the law demands the data."""
COUNT_BYTES: Final = 8


def delete_personal_data(group: Group, request: ClientRequest, by: By, account_id: str) -> int:
    """Forget the person behind a closed account: how many uses lost the name of whom they were for.

    Raises:
        DomainError: ROLE_NOT_PERMITTED, ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER, ACCOUNT_KIND_NOT_ALLOWED for an
            organisation, STATE_NOT_ALLOWED while the account is open or units wait for its owner,
            RETENTION_REQUIRED.
    """
    group.require_clock()
    stored = group.find_answer(request)
    if stored is not None:
        return int.from_bytes(stored, "big")
    require_permitted(group, by, OpenAccount.act(), ACTION)
    account = require_keeper_or_holder(group, by, OpenAccount.act(), account_id)
    if account.kind != store.KIND_PERSON:
        raise DomainError("ACCOUNT_KIND_NOT_ALLOWED", field="account_id", kind="ORGANISATION", action=ACTION)
    if account.is_open:
        raise _not_yet(account_id, "OPEN", "CLOSED")
    _require_nothing_waits(group.connection, account_id)
    _require_no_retention(group, account_id)
    store.delete_persons(group.connection, (account_id,))
    forgotten = beneficiaries.delete_of_account(group.connection, account_id)
    consents.forget(group, by, account_id)
    group.journal.append(
        journal.PERSONAL_DATA_DELETED,
        account_id,
        (journal.Effect(account_id),),
        details={"by": by.party, "uses": str(forgotten)},
    )
    group.note_answer(request, forgotten.to_bytes(COUNT_BYTES, "big"))
    return forgotten


def _not_yet(account_id: str, state: str, needed: str) -> DomainError:
    return DomainError("STATE_NOT_ALLOWED", what="账户 account", id=account_id, state=state, needed=needed)


def _require_nothing_waits(connection: sa.Connection, account_id: str) -> None:
    """Units in suspense are moved to an account of the same owner alone (R7): who it is must be found."""
    suspense = store.load_suspense_accounts(connection, (account_id,)).get(account_id)
    waiting_kg = {} if suspense is None else holdings.balance(connection, suspense.account_id)
    if any(waiting_kg.get(state) for state in (holdings.HELD, holdings.LOCKED, holdings.RETIRING)):
        raise _not_yet(account_id, "units wait in suspense", "none waits")


def _require_no_retention(group: Group, account_id: str) -> None:
    key = f"{group.pack.identity.pack_id.partition('-')[0]}.{RETENTION}"
    parameters = group.pack.parameters
    if key not in parameters.definitions or not parameters.on(group.legal_date).has(key):
        return
    days = parameters.on(group.legal_date).integer(key)
    last = journal_store.last_entry_of_account(group.connection, account_id)
    until = legal_date(datetime.fromtimestamp(last, UTC)) + timedelta(days=days)
    if group.legal_date < until:
        raise DomainError("RETENTION_REQUIRED", until=until.isoformat(), what="个人资料 personal data")
