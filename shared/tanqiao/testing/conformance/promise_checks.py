"""Requirements R1 to R9: durability, time, decisions, promises (PROTOCOL section 1), and I4."""

from __future__ import annotations

import secrets

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.conformance.kit import ABORT, COMMIT, Incoming, Kit, NotRunError, hash_of
from tanqiao.testing.conformance.requirements import requirement

CREDITED = messages_pb2.DESTINATION_STATE_CREDITED
DROPPED = messages_pb2.DESTINATION_STATE_DROPPED


@requirement("r1-restart", "R1")
def r1_restart(kit: Kit) -> None:
    """What was promised is there after a restart, with the same bytes."""
    transfer, answer = kit.ready()
    lock = kit.locked()
    session = len(kit.line.hellos) + 1
    if not kit.orders.restart():
        raise NotRunError("nobody said how the node is restarted (--restart COMMAND)")
    kit.connected()
    again = kit.first(messages_pb2.Ready, transfer.transfer_id, session)
    kit.demand(again.opened.payload == answer.opened.payload, "the Ready changed over a restart")
    offered = kit.first(messages_pb2.LockAssertion, lock.transfer_id, session)
    kit.demand(offered.opened.payload == lock.opened.payload, "the lock changed over a restart")


@requirement("r2-source-waits", "R2, R3")
def r2_source_waits(kit: Kit) -> None:
    """A source that hears nothing stays LOCKED: time decides nothing there."""
    lock = kit.locked()
    kit.be_silent()
    kit.demand_unmoved(lock.transfer_id, "LOCKED", "silence of the bridge")


@requirement("r2-destination-waits", "R2, R3")
def r2_destination_waits(kit: Kit) -> None:
    """A READY waits for its decision: time decides nothing there."""
    transfer, _ = kit.ready()
    kit.be_silent()
    kit.demand_unmoved(transfer.transfer_id, "READY", "silence of the bridge")


@requirement("r3-withdraw-waits", "R3, §4 row 13")
def r3_withdraw_waits(kit: Kit) -> None:
    """A withdrawal is a wish: units stay LOCKED until the decision."""
    lock = kit.locked()
    kit.orders.withdraw(lock.transfer_id)
    kit.first(messages_pb2.Withdraw, lock.transfer_id)
    kit.demand_unmoved(lock.transfer_id, "LOCKED", "a withdrawal that nobody decided")


@requirement("r4-stored-answer", "R4")
def r4_stored_answer(kit: Kit) -> None:
    """The same Prepare again gets the stored answer, the same bytes."""
    transfer, answer = kit.ready()
    _answered_alike(kit, transfer, answer.opened.payload)


@requirement("r4-prepare-again", "R4")
def r4_prepare_again(kit: Kit) -> None:
    """A Prepare made anew around the same lock gets the stored answer."""
    transfer, answer = kit.ready()
    transfer.prepare.header.message_id = secrets.token_bytes(16)
    _answered_alike(kit, transfer, answer.opened.payload)


def _answered_alike(kit: Kit, transfer: Incoming, payload: bytes) -> None:
    def answers() -> list[bytes]:
        return [
            one.opened.payload
            for kind in (messages_pb2.Ready, messages_pb2.Refuse)
            for one in kit.said(kind, transfer.transfer_id)
        ]

    before = len(answers())
    kit.offer(transfer)
    kit.wait(lambda: len(answers()) > before, "a Prepare that came again was not answered")
    kit.demand(set(answers()) == {payload}, "a Prepare that came again was answered with other bytes")


@requirement("r4-two-locks", "R4")
def r4_two_locks(kit: Kit) -> None:
    """Two locks under one id: a Nack that says so, and no second promise."""
    address = kit.orders.address()
    transfer, answer = kit.ready(address)
    other = kit.incoming(address, transfer.transfer_id)
    kit.offer(other)
    nack = kit.nack(other.prepare_hash)
    reasons = {one.reason for one in nack.message.reasons}
    kit.demand("EQUIVOCATION" in reasons, f"the Nack says {', '.join(sorted(reasons))}, not EQUIVOCATION")
    promised = {one.opened.payload for one in kit.said(messages_pb2.Ready, transfer.transfer_id)}
    kit.demand(promised == {answer.opened.payload}, "two promises were made under one id")


@requirement("r5-refused-stays", "R5")
def r5_refused_stays(kit: Kit) -> None:
    """What was refused stays refused, with the same bytes."""
    transfer = kit.incoming(kit.own_address())
    kit.offer(transfer)
    answer = kit.answer(transfer.transfer_id)
    kit.demand(isinstance(answer.message, messages_pb2.Refuse), "an address of nobody was accepted")
    _answered_alike(kit, transfer, answer.opened.payload)


@requirement("r6-state-first", "R6")
def r6_state_first(kit: Kit) -> None:
    """The state is there before anybody is told of it."""
    lock = kit.locked()
    kit.line.number([kit.decision_on(lock, COMMIT)])
    kit.first(messages_pb2.SourceFinal, lock.transfer_id)
    kit.demand_state(lock.transfer_id, "MOVED", "the receipt came before the state")


@requirement("r7-credit-when-closed", "R7")
def r7_credit_when_closed(kit: Kit) -> None:
    """READY is kept: what is committed is credited, also if the account has closed."""
    address = kit.orders.address()
    transfer, answer = kit.ready(address)
    kit.orders.close(address)
    kit.decide(kit.commit(transfer, answer))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    kit.demand(final.message.state == CREDITED, "units for an account that has closed were not credited")


@requirement("r7-locked-account", "R7")
def r7_locked_account(kit: Kit) -> None:
    """An account with LOCKED units cannot close."""
    kit.locked()
    try:
        kit.orders.close_holder()
    except DomainError:
        return
    kit.demand(condition=False, text="an account with locked units was closed")


@requirement("r9-source-lock", "R9")
def r9_source_lock(kit: Kit) -> None:
    """A decision that names another lock is void at the source."""
    lock = kit.locked()
    for outcome in (COMMIT, ABORT):
        wrong = kit.decision(
            kit.party, lock.transfer_id, outcome, secrets.token_bytes(32), secrets.token_bytes(32)
        )
        _void(kit, wrong, "LOCKED", "a decision on another lock")


@requirement("r9-source-zero", "R9")
def r9_source_zero(kit: Kit) -> None:
    """A COMMIT of a transfer that names no Ready is void at the source."""
    lock = kit.locked()
    _void(kit, kit.decision_on(lock, COMMIT, bytes(32)), "LOCKED", "a COMMIT without a Ready")


@requirement("r9-ready", "R9")
def r9_ready(kit: Kit) -> None:
    """A COMMIT that names another Ready is void at the destination."""
    transfer, _ = kit.ready()
    wrong = kit.decision(
        kit.partner, transfer.transfer_id, COMMIT, transfer.lock_hash, secrets.token_bytes(32)
    )
    _void(kit, wrong, "READY", "a COMMIT on another Ready")


@requirement("r9-ready-lock", "R9")
def r9_ready_lock(kit: Kit) -> None:
    """A decision that names another lock is void at the destination."""
    transfer, answer = kit.ready()
    for outcome in (COMMIT, ABORT):
        wrong = kit.decision(
            kit.partner,
            transfer.transfer_id,
            outcome,
            secrets.token_bytes(32),
            answer.opened.message_hash if outcome == COMMIT else bytes(32),
        )
        _void(kit, wrong, "READY", "a decision on another lock")


@requirement("r9-commit-unheard", "R9")
def r9_commit_unheard(kit: Kit) -> None:
    """A COMMIT of a transfer that was never prepared is void."""
    kit.connected()
    transfer_id = secrets.token_bytes(16)
    wrong = kit.decision(kit.partner, transfer_id, COMMIT, secrets.token_bytes(32), secrets.token_bytes(32))
    _void(kit, wrong, "", "a COMMIT of what was never prepared")


@requirement("r9-abort-unheard", "R9")
def r9_abort_unheard(kit: Kit) -> None:
    """An ABORT of a transfer that was never prepared is DROPPED; a later Prepare is refused."""
    transfer = kit.incoming()
    kit.decide(kit.decision(kit.partner, transfer.transfer_id, ABORT, transfer.lock_hash))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    kit.demand(final.message.state == DROPPED, "an ABORT of what was never prepared was not DROPPED")
    kit.offer(transfer)
    answer = kit.answer(transfer.transfer_id)
    kit.demand(
        isinstance(answer.message, messages_pb2.Refuse), "a Prepare was answered with READY after its ABORT"
    )


@requirement("one-decision-source", "I4")
def one_decision_source(kit: Kit) -> None:
    """A second decision changes nothing at the source, and is called what it is."""
    lock = kit.locked()
    kit.decide(kit.decision_on(lock, ABORT))
    kit.first(messages_pb2.SourceFinal, lock.transfer_id)
    second = kit.decision_on(lock, COMMIT)
    kit.line.number([second])
    _equivocation(kit, second)
    kit.demand_state(lock.transfer_id, "RELEASED", "a second decision changed the first")


@requirement("one-decision-destination", "I4")
def one_decision_destination(kit: Kit) -> None:
    """A second decision changes nothing at the destination, and is called what it is."""
    transfer, answer = kit.ready()
    kit.decide(kit.commit(transfer, answer))
    kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    second = kit.decision(kit.partner, transfer.transfer_id, ABORT, transfer.lock_hash)
    kit.line.number([second])
    _equivocation(kit, second)
    kit.demand_state(transfer.transfer_id, "CREDITED", "a second decision changed the first")


def _equivocation(kit: Kit, second: messages_pb2.Decision) -> None:
    reasons = {one.reason for one in kit.nack(hash_of(second)).message.reasons}
    kit.demand("EQUIVOCATION" in reasons, f"the Nack says {', '.join(sorted(reasons))}, not EQUIVOCATION")


def _void(kit: Kit, wrong: messages_pb2.Decision, state: str, after: str) -> None:
    """Send a void decision: kept and reported, and nothing moves."""
    kit.line.number([wrong])
    reasons = {one.reason for one in kit.nack(hash_of(wrong)).message.reasons}
    kit.demand("DECISION_VOID" in reasons, f"the Nack says {', '.join(sorted(reasons))}, not DECISION_VOID")
    kit.demand_unmoved(wrong.header.transfer_id, state, after)
