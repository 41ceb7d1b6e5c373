"""The bridge's one writer: commands in groups, each group one transaction (PROTOCOL R1, section 5).

Order inside a group: every command meets the core in the order of arrival; then what is to be decided is
decided in that order; then messages, outbox rows and Prepares are made. What leaves the process leaves in
`after_commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao_bridge.application import directory_records, issues, numbered, sessions, transfers
from tanqiao_bridge.application.commands import (
    Answer,
    AskOutcome,
    Command,
    Material,
    OfferAgain,
    OfferAnswers,
    OfferIssues,
    OfferLocks,
    OfferWithdrawals,
    OpenSession,
    PassDeadlines,
    ReturnPrepare,
    SubmitKeyRecord,
    SubmitRecognition,
    TakeAcknowledgement,
    TakeNumbered,
)
from tanqiao_bridge.application.context import BridgeContext, Group
from tanqiao_bridge.application.deciding import DECISION_TYPE, decide_pending
from tanqiao_bridge.application.holding_back import busy, hold_back
from tanqiao_bridge.application.issues import JudgeIssues
from tanqiao_bridge.application.memory import Overlay
from tanqiao_bridge.storage.decisions import insert_messages, load_payloads
from tanqiao_bridge.storage.log import log_size
from tanqiao_bridge.storage.tables import outbox

OTHER_HANDLERS_MAX: Final = 16

OtherHandler = Callable[[Group, object], object]
"""Handles a command that another part of the bridge adds (claims), inside the group's transaction."""

Send = Callable[[Group], None]


class BridgeEngine:
    """Handler and listener of the bridge's `GroupCommit`.

    Args:
        context: the node's own things.
        judge_issues: claim checks of Issues, inside the transaction.
        send: told each group after its commit, to send and to wake the lines.
        others: handlers of further command classes, by class.
    """

    def __init__(
        self,
        context: BridgeContext,
        judge_issues: JudgeIssues,
        send: Send,
        others: dict[type, OtherHandler] | None = None,
    ) -> None:
        self._context = context
        self._judge_issues = judge_issues
        self._send = send
        self._others = dict(others or {})
        self._group: Group | None = None

    def handle(self, connection: sa.Connection, commands: Sequence[object]) -> list[object]:
        """Handle one group inside its transaction; one answer or refusal for each command."""
        context = self._context
        if self._group is not None:  # whether it was committed is not known: its pages are read again
            context.changed_pages.note(self._group.touched_pages)
        moment = context.clock.now()
        group = Group(
            context,
            connection,
            int(moment.timestamp()),
            legal_date(moment).isoformat(),
            Overlay(context.transfers),
        )
        # One look-up for all that arrive together: single messages come in groups too.
        transfers.load_views(group, _keys_of(commands))
        answers: list[object] = []
        for command in commands:
            try:
                answers.append(self._handle(group, command))
            except DomainError as refusal:
                answers.append(refusal)
        decide_pending(group)
        insert_messages(connection, group.messages)
        transfers.make_prepares(group)
        _answer_stored(group)
        _number(group)
        if not group.log_size:
            group.log_size = log_size(connection)
        self._group = group
        return answers

    def after_commit(self, _commands: Sequence[object], _answers: Sequence[object]) -> None:
        """Merge the memory and send, now that everything is durable (R1, R6)."""
        group, self._group = self._group, None
        if group is None:
            return
        self._context.changed_pages.note(group.touched_pages)
        group.overlay.merge()
        self._context.recent.note(group.decisions)
        self._context.log_size = group.log_size
        if group.recovery is not None:
            self._context.recovery = group.recovery
        if group.directory is not None:
            self._context.directory = group.directory
        if group.witness_groups is not None:
            self._context.witness_groups = group.witness_groups
        self._context.renew_signer(directory_changed=group.directory is not None)
        self._send(group)

    def _handle(self, group: Group, command: object) -> object:
        """Handle one command; a bridge that recovers holds back what it may not decide yet."""
        allowed, waiting = hold_back(self._context, command)
        if not waiting:
            return self._dispatch(group, allowed)
        if not getattr(allowed, "items", ()):
            return busy(waiting)
        answer = self._dispatch(group, allowed)
        if isinstance(answer, Answer):
            answer.busy.extend(waiting)
        return answer

    def _dispatch(self, group: Group, command: object) -> object:  # noqa: C901, PLR0911, PLR0912 - one line a command
        match command:
            case OfferLocks():
                return transfers.offer_locks(group, command)
            case OfferAnswers():
                return transfers.offer_answers(group, command)
            case ReturnPrepare():
                return transfers.return_prepare(group, command)
            case OfferWithdrawals():
                return transfers.offer_withdrawals(group, command)
            case OfferIssues():
                return issues.offer_issues(group, command, self._judge_issues)
            case TakeNumbered():
                return numbered.take_numbered(group, command)
            case TakeAcknowledgement():
                return numbered.take_acknowledgement(group, command)
            case OpenSession():
                return sessions.open_session(group, command)
            case OfferAgain():
                return sessions.offer_again(group, command)
            case PassDeadlines():
                return transfers.pass_deadlines(group, command)
            case AskOutcome():
                return transfers.ask_outcome(group, command)
            case SubmitKeyRecord():
                group.forget_policy()
                return directory_records.submit_key_record(group, command)
            case SubmitRecognition():
                group.forget_policy()
                return directory_records.submit_recognition(group, command)
            case _:
                return self._others[type(command)](group, command)


def _keys_of(commands: Sequence[object]) -> Iterator[TransferKey]:
    """Name the transfers that locks, answers and receipts of a group are about."""
    for command in commands:
        if isinstance(command, (OfferLocks, OfferAnswers)):
            for _, facts in command.items:
                yield facts.key
        elif isinstance(command, TakeNumbered):
            for material in command.items:
                if isinstance(material, Material):
                    yield TransferKey(material.opened.header.source, material.opened.header.transfer_id)


def _answer_stored(group: Group) -> None:
    """Give replays the stored Decision bytes (R4), those that this very group made among them."""
    if not group.stored_decisions:
        return
    payloads = load_payloads(group.connection, [key for _, _, key in group.stored_decisions])
    for answer, _party, key in group.stored_decisions:
        payload = payloads.get(key)
        if payload is not None:
            answer.stored.append((DECISION_TYPE, payload))


def _number(group: Group) -> None:
    messages: list[OutboxMessage] = group.numbered
    outbox.append_many(
        group.connection, group.context.epoch, messages, created_at_us=group.now * _MICROSECONDS
    )


_MICROSECONDS: Final = 1_000_000

__all__ = ["Answer", "BridgeEngine", "Command"]
