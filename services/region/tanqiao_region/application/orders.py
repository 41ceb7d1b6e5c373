"""Orders of callers: handed to the writer, and waited for where the caller wants to wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import SourceState
from tanqiao_region.application import accounts, forgetting, offering
from tanqiao_region.application.accounts import OpenAnswer, OpenOrder
from tanqiao_region.application.commands import (
    By,
    CreateTransfers,
    CreateUses,
    LocalOrder,
    LocalTransfers,
    Locked,
    Retiring,
    TransferOrder,
    UseOrder,
    Work,
)
from tanqiao_region.application.group import Group
from tanqiao_region.application.ledger import LocalAnswer
from tanqiao_region.application.notifier import Notifier
from tanqiao_region.application.offering import LockAnswer
from tanqiao_region.application.queries import Queries
from tanqiao_region.application.uses import UseAnswer
from tanqiao_region.application.views import AccountRow, ClientRequest

ANSWER_SECONDS_MAX: Final = 30.0
ORDERS_PER_COMMAND_MAX: Final = 1_000
"""A longer batch is several commands: other callers' orders come in between."""

Answer = TypeVar("Answer")
Order = TypeVar("Order")


class Submit(Protocol):
    """The writer's queue."""

    def submit(self, command: Any) -> Future[Any]:  # noqa: ANN401 - any command of the writer
        """Queue a command."""
        ...  # pragma: no cover - a protocol has no body

    def submit_many(self, commands: Sequence[Any], *, patient: bool = False) -> list[Future[Any]]:
        """Queue several commands together, all or none."""
        ...  # pragma: no cover - a protocol has no body


class Orders:
    """What callers may ask the ledger to do.

    Args:
        writer: the node's one writer.
        notifier: tells when transfers and uses have ended.
        queries: tells which had ended before.
        party: this node, the source of what is ordered here.
    """

    def __init__(self, writer: Submit, notifier: Notifier, queries: Queries, party: str) -> None:
        self._party = party
        self._writer = writer
        self._notifier = notifier
        self._queries = queries

    def run(self, work: Callable[[Group], Answer]) -> Answer:
        """Run any other command in the writer and give its answer, once it is durable."""
        answer: Answer = _result(self._writer.submit(Work(work)))
        return answer

    def _hot(
        self, orders: Sequence[Order], command: Callable[[tuple[Order, ...]], Any], *, patient: bool = False
    ) -> list[Any]:
        parts = [
            tuple(orders[at : at + ORDERS_PER_COMMAND_MAX])
            for at in range(0, len(orders), ORDERS_PER_COMMAND_MAX)
        ]
        futures = self._writer.submit_many([command(part) for part in parts], patient=patient)
        return [answer for future in futures for answer in _result(future)]

    # -- inside the region -----------------------------------------------------------------------------------

    def transfer_locally(self, orders: Sequence[LocalOrder]) -> list[LocalAnswer]:
        """Move units between accounts, in order; an answer or a refusal for each."""
        return self._hot(orders, LocalTransfers)

    # -- to other regions ------------------------------------------------------------------------------------

    def create_transfers(self, orders: Sequence[TransferOrder]) -> list[LockAnswer]:
        """Lock units for transfers, in order; durable when it returns, and offered."""
        # While others are under way, a lock shares the transaction of their decisions: alone it would make
        # everybody wait for one more forced write, and carry one more frame through three nodes.
        return self._hot(orders, CreateTransfers, patient=self._notifier.is_waited_for)

    def create_uses(self, orders: Sequence[UseOrder]) -> list[UseAnswer]:
        """Begin retirements and cancellations, in order."""
        return self._hot(orders, CreateUses)

    def wait_ended(
        self, answers: Sequence[LockAnswer | UseAnswer], seconds: float
    ) -> dict[bytes, SourceState]:
        """Wait until what was begun has ended; the states of those that have."""
        given = [one for one in answers if isinstance(one, Locked | Retiring) and one.transfer_id]
        # A request that is repeated names a transfer of before, which may have ended long ago.
        repeated = [one.transfer_id for one in given if not one.blocks]
        found = self._queries.outgoing(repeated).values() if repeated else ()
        states = {view.transfer_id: view.state for view in found if view.ended_at is not None}
        begun = [one.transfer_id for one in given if one.transfer_id not in states]
        states |= self._notifier.wait_all_ended(self._party, begun, seconds)
        return {transfer_id: SourceState(state) for transfer_id, state in states.items()}

    def withdraw(self, request: ClientRequest, by: By, transfer_id: bytes) -> None:
        """Note the holder's wish to have a transfer back."""

        def work(group: Group) -> None:
            group.require_clock()
            if group.find_answer(request) is None:
                offering.withdraw(group, transfer_id, by)
                group.note_answer(request, transfer_id)

        self.run(work)

    # -- accounts --------------------------------------------------------------------------------------------

    def open_accounts(self, orders: Sequence[OpenOrder]) -> list[OpenAnswer]:
        """Open accounts, in order."""
        return self.run(lambda group: accounts.open_accounts(group, tuple(orders)))

    def set_holder(self, request: ClientRequest, by: By, account_id: str, party: str) -> AccountRow:
        """Say whose certificate acts for an account from here on."""
        return self.run(lambda group: accounts.set_holder(group, request, by, account_id, party))

    def close_account(self, request: ClientRequest, by: By, account_id: str) -> AccountRow:
        """Close an account in which nothing is left."""
        return self.run(lambda group: accounts.close_account(group, request, by, account_id))

    def delete_personal_data(self, request: ClientRequest, by: By, account_id: str) -> int:
        """Forget the person behind a closed account; how many of its uses lost a name."""
        return self.run(lambda group: forgetting.delete_personal_data(group, request, by, account_id))

    def create_address(self, request: ClientRequest, by: By, account_id: str) -> str:
        """Make a receiving address of an account."""
        return self.run(lambda group: accounts.create_address(group, request, by, account_id))


def _result(future: Future[Any]) -> Any:  # noqa: ANN401 - what the command answers
    try:
        return future.result(ANSWER_SECONDS_MAX)
    except TimeoutError:
        raise DomainError("DEADLINE_EXCEEDED") from None
