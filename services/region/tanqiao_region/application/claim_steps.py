"""Commands that need the bridge's word: two transactions, a call between, a durable state in the middle.

First transaction: the command is checked, its statement is signed and kept (`claim_step`). Then the bridge is
called, outside of any transaction. Second transaction: the receipt takes effect, the answer is kept under the
request id, the step ends. A crash in between leaves an open step: the same statement is sent again at the
next start, or when the same request comes again, and the bridge answers it with the receipt that it gave
first. A bridge that is known to be down is refused before anything is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol, TypeVar

import structlog

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.kernel.invariants import require
from tanqiao.rpc.errors import from_refusal, to_refusal
from tanqiao_region.application.claims_client import (
    BridgeClaims,
    OutcomeUnknownError,
    Receipt,
    sign_statement,
    token_book,
)
from tanqiao_region.application.commands import By, Work
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.tokens import TokensNeededError, is_personal
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import StepRow
from tanqiao_region.storage.tables import request_ids

WRITE_SECONDS_MAX: Final = 30.0
"""Longest wait for the node's writer."""
IMPORT_SECONDS_MAX: Final = 600.0
"""Longest wait for the one transaction of a large file."""
TOKEN_ROUNDS_MAX: Final = 3
"""Attempts to begin a step whose tokens are lacking: a new key epoch may come in between."""
RESUME_SECONDS: Final = 15.0
"""Pause between two rounds over the open steps."""
SYSTEM_FAMILY: Final = 9
ACCEPTED: Final = b"\x00"
REFUSED: Final = b"\x01"

T = TypeVar("T")
_log = structlog.get_logger("tanqiao.region.claim_steps")


class StepKind(IntEnum):
    """What a step is part of; numbers are stored and never used again."""

    SUBMIT_PROJECT = 1
    OPEN_NOTICE = 2
    PUBLISH_PROJECT = 3
    WITHDRAW_PROJECT = 4
    ISSUE_UNITS = 5
    ENTER_RESOURCE = 6
    RELEASE_CLAIM = 7


CLAIMING: Final = frozenset({StepKind.SUBMIT_PROJECT, StepKind.ISSUE_UNITS, StepKind.ENTER_RESOURCE})
"""Steps whose statement makes a claim; the others move one on that stays."""


class Submit(Protocol):
    """The node's one writer."""

    def __call__(self, work: Callable[[Group], T], /) -> T:
        """Run the work in a transaction and give its answer once it is durable, or raise its refusal."""
        ...  # pragma: no cover - a protocol has no body


def submit_to(writer: Any, seconds: float = WRITE_SECONDS_MAX) -> Submit:  # noqa: ANN401 - of any command
    """Give the port of a `GroupCommit`; BUSY if no answer came in so many seconds."""

    def submit(work: Callable[[Group], T], /) -> T:
        try:
            answer: T = writer.execute(Work(work), seconds)
        except TimeoutError as error:
            raise DomainError("BUSY", detail="the writer did not answer in time") from error
        return answer

    return submit


@dataclass(frozen=True, slots=True)
class Ask:
    """A command as it came: its request, who asks, and its serialised body."""

    request: ClientRequest
    by: By
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """What the first transaction decided: about what, the statement to be sent, what the second needs."""

    subject_id: str
    statement: envelope_pb2.Envelope
    command: bytes


Outcome = bytes | DomainError
"""A serialised response, or a refusal. Kept under the request id unless it is a refusal that may pass."""


class StepHandler(Protocol):
    """The two halves of a command."""

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check the command and sign its statement; a DomainError leaves nothing behind."""
        ...  # pragma: no cover - a protocol has no body

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Let the receipt take effect."""
        ...  # pragma: no cover - a protocol has no body

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """Undo what `begin` reserved: the bridge has refused the statement."""
        ...  # pragma: no cover - a protocol has no body


def encode_outcome(outcome: Outcome) -> bytes:
    """Give an outcome as it is kept under its request id."""
    if isinstance(outcome, DomainError):
        return REFUSED + to_refusal(outcome).SerializeToString()
    return ACCEPTED + outcome


def decode_outcome(kept: bytes) -> bytes:
    """Give the response of a kept outcome; a refusal is raised again."""
    if kept[:1] == REFUSED:
        raise from_refusal(values_pb2.Refusal.FromString(kept[1:]))
    return kept[1:]


class ReleaseHandler:
    """Lets a claim go that a decision of this node has ended: no caller waits for it."""

    def begin(self, group: Group, ask: Ask) -> Begun:
        """A release begins inside another command (`release_later`), never by itself."""
        del group
        raise DomainError("METHOD_UNKNOWN", method=f"{StepKind.RELEASE_CLAIM.name} by {ask.by.party}")

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """The claim is no longer live: its project says so."""
        row = store.project_of_claim(group.connection, step.subject_id)
        if row is not None:
            row.project.claim_status = receipt.message.status
            store.update_project(group.connection, row)
        return b""

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The bridge does not hold the claim as live; the log says so."""
        del group
        _log.warning("release_refused", claim=step.subject_id, reason=refusal.symbol)


def release_later(group: Group, claim_id: str, status: claims_pb2.ClaimStatus.ValueType, reason: str) -> None:
    """Note, in the transaction that ends a claim, that the bridge is to be told; sent by the next round."""
    statement = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason=reason)
    step_id = group.context.random_bytes(ID_BYTES).hex()
    store.insert_step(
        group.connection,
        StepRow(
            step_id=step_id,
            kind=int(StepKind.RELEASE_CLAIM),
            subject_id=claim_id,
            caller=group.context.party,
            role="",
            request_id=step_id,
            body_hash=b"",
            command=b"",
            envelope=sign_statement(group.context, statement).SerializeToString(),
            state=store.OPEN,
            receipt=b"",
            created_at=group.now,
        ),
    )


class ClaimSteps:
    """Runs commands in two transactions.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
        claims: the bridge.
    """

    def __init__(
        self, context: RegionContext, database: Database, submit: Submit, claims: BridgeClaims
    ) -> None:
        self._context = context
        self._database = database
        self._submit = submit
        self._claims = claims
        self._handlers: dict[int, StepHandler] = {int(StepKind.RELEASE_CLAIM): ReleaseHandler()}
        self._stopping = threading.Event()
        self._resumer: threading.Thread | None = None

    def register(self, handlers: Mapping[StepKind, StepHandler]) -> None:
        """Name who handles a kind of step; each kind once."""
        for kind, handler in handlers.items():
            require(kind not in self._handlers, f"{kind.name} has a handler")
            self._handlers[kind] = handler

    # -- one command

    def run(self, kind: StepKind, ask: Ask) -> bytes:
        """Carry a command out and give its serialised response.

        Raises:
            DomainError: what either half refuses, the bridge's refusal, PEER_UNREACHABLE and others of retry
                class WAIT or SAME_BYTES while nobody knows the outcome.
        """
        if self._is_new(ask.request):
            self._claims.require_reachable()
        begun = self._begun(kind, ask)
        if isinstance(begun, bytes):
            return decode_outcome(begun)
        return decode_outcome(self._complete(begun))

    def leaving(self, claim: claims_pb2.Claim) -> claims_pb2.Claim:
        """Give a claim as it may leave the region; its tokens are made where they have not been."""
        return token_book(self._context).made(claim) if is_personal(claim) else claim

    def _begun(self, kind: StepKind, ask: Ask) -> bytes | StepRow:
        """Begin; tokens that the statement lacks are made between two attempts, outside of a transaction."""
        for _ in range(TOKEN_ROUNDS_MAX):
            try:
                return self._submit(lambda group: self._begin(group, kind, ask))
            except TokensNeededError as needed:
                self.leaving(needed.claim)
        return self._submit(lambda group: self._begin(group, kind, ask))

    def _is_new(self, request: ClientRequest) -> bool:
        with self._database.reading() as connection:
            return request_ids.answers(connection, [request])[0] is None

    def _begin(self, group: Group, kind: StepKind, ask: Ask) -> bytes | StepRow:
        known = group.find_answer(ask.request)
        if known is not None:
            return known
        open_step = store.open_step_of_request(group.connection, ask.request.caller, ask.request.request_id)
        if open_step is not None:
            if open_step.body_hash != ask.request.body_hash:
                raise DomainError("REQUEST_ID_REUSED", field="request_id", request_id=ask.request.request_id)
            return open_step
        group.require_clock()
        begun = self._handlers[kind].begin(group, ask)
        other = store.open_step_of(group.connection, begun.subject_id)
        if other is not None:
            raise DomainError("CONCURRENT_CHANGE", what=StepKind(other.kind).name, id=begun.subject_id)
        step = StepRow(
            step_id=group.context.random_bytes(ID_BYTES).hex(),
            kind=int(kind),
            subject_id=begun.subject_id,
            caller=ask.by.party,
            role=ask.by.role,
            request_id=ask.request.request_id,
            body_hash=ask.request.body_hash,
            command=begun.command,
            envelope=begun.statement.SerializeToString(),
            state=store.OPEN,
            receipt=b"",
            created_at=group.now,
        )
        store.insert_step(group.connection, step)
        return step

    def _complete(self, step: StepRow) -> bytes:
        statement = envelope_pb2.Envelope.FromString(step.envelope)
        try:
            receipt = self._claims.send(statement)
        except OutcomeUnknownError as unknown:
            raise unknown.refusal from unknown
        except DomainError as refused:
            refusal = refused
            return self._submit(lambda group: self._abandon(group, step.step_id, refusal))
        try:
            return self._submit(lambda group: self._finish(group, step.step_id, receipt))
        except DomainError as refused:
            if refused.reason.retry.transient or refused.reason.family == SYSTEM_FAMILY:
                raise  # the next round tries again
            refusal = refused
        # What cannot be finished now cannot be finished later: an open step would bar its subject for ever.
        return self._submit(lambda group: self._give_up(group, step.step_id, receipt, refusal))

    def _finish(self, group: Group, step_id: str, receipt: Receipt) -> bytes:
        step, request = self._reload(group, step_id)
        if step.state != store.OPEN:  # another thread was faster with the same receipt
            return self._ended(group, step, request)
        outcome = self._handlers[step.kind].finish(group, step, receipt)
        state = store.REFUSED if isinstance(outcome, DomainError) else store.DONE
        return self._end(group, step, request, outcome, state, receipt.envelope.SerializeToString())

    def _abandon(self, group: Group, step_id: str, refusal: DomainError) -> bytes:
        step, request = self._reload(group, step_id)
        if step.state != store.OPEN:
            return self._ended(group, step, request)
        self._handlers[step.kind].abandon(group, step, refusal)
        return self._end(group, step, request, refusal, store.REFUSED, b"")

    def _give_up(self, group: Group, step_id: str, receipt: Receipt, refusal: DomainError) -> bytes:
        """End a step that the bridge has accepted and this node cannot finish; a new claim is let go."""
        step, request = self._reload(group, step_id)
        if step.state != store.OPEN:
            return self._ended(group, step, request)
        self._handlers[step.kind].abandon(group, step, refusal)
        if step.kind in CLAIMING and receipt.message.status == claims_pb2.CLAIM_STATUS_DECLARED:
            claim_id = receipt.message.claim_id
            release_later(group, claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, refusal.symbol)
        return self._end(group, step, request, refusal, store.REFUSED, receipt.envelope.SerializeToString())

    def _ended(self, group: Group, step: StepRow, request: ClientRequest) -> bytes:
        known = group.find_answer(request)
        if known is not None:
            return known
        # It ended with a refusal that may pass: the request may be sent again as it is.
        return encode_outcome(
            DomainError("CONCURRENT_CHANGE", what=StepKind(step.kind).name, id=step.subject_id)
        )

    def _reload(self, group: Group, step_id: str) -> tuple[StepRow, ClientRequest]:
        step = store.load_step(group.connection, step_id)
        require(step is not None, "a step is never removed")
        return step, ClientRequest(step.caller, step.request_id, step.body_hash)  # type: ignore[return-value, union-attr]

    def _end(
        self,
        group: Group,
        step: StepRow,
        request: ClientRequest,
        outcome: Outcome,
        state: int,
        receipt: bytes,
    ) -> bytes:
        kept = encode_outcome(outcome)
        store.end_step(group.connection, step.step_id, state=state, receipt=receipt, ended_at=group.now)
        if not (isinstance(outcome, DomainError) and outcome.reason.retry.transient):
            group.note_answer(request, kept)
        return kept

    # -- what a crash left

    def resume(self) -> int:
        """Take up every open step, oldest first; how many were answered. A bridge that is down ends it."""
        with self._database.reading() as connection:
            steps = store.open_steps(connection)
        ended = 0
        for step in steps:
            try:
                self._complete(step)
            except DomainError as refusal:
                _log.warning("step_not_done", step_id=step.step_id, reason=refusal.symbol)
                if refusal.reason.grpc_status == "UNAVAILABLE":
                    break
            else:
                ended += 1
        return ended

    def start(self) -> None:
        """Resume open steps now and every `RESUME_SECONDS`, in a thread of its own."""
        self._resumer = threading.Thread(target=self._resume_for_ever, name="claim-steps", daemon=True)
        self._resumer.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._resumer is not None:
            self._resumer.join()

    def _resume_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                self.resume()
            except Exception:  # noqa: BLE001 - the thread must live on; the next round tries again
                _log.exception("resuming_failed")
            self._stopping.wait(RESUME_SECONDS)
