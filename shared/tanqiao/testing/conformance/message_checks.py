"""Requirements on what messages say and where they lead (PROTOCOL sections 4 and 5)."""

from __future__ import annotations

import secrets

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE
from tanqiao.signing.commitments import open_lock
from tanqiao.testing.conformance.kit import ABORT, COMMIT, Kit, hash_of
from tanqiao.testing.conformance.line import BRIDGE, Came
from tanqiao.testing.conformance.requirements import requirement


@requirement("lock-content", "§4 row 1")
def lock_content(kit: Kit) -> None:
    """A lock states source, destination, blocks and quantity, and its commitments open."""
    address = kit.partner_address()
    lock = kit.first(messages_pb2.LockAssertion, kit.orders.lock(address, kit.partner))
    message: messages_pb2.LockAssertion = lock.message
    kit.demand(message.header.source == kit.party, f"its source is {message.header.source}")
    kit.demand(BRIDGE in message.header.audience, "it is not for the bridge")
    kit.demand(message.destination == kit.partner, f"its destination is {message.destination}")
    kit.demand(message.blocks, "it names no blocks")
    total = sum(block.end_serial - block.start_serial for block in message.blocks)
    kit.demand(total == message.quantity_kg, f"its blocks are {total} kg, it states {message.quantity_kg}")
    try:
        openings = open_lock(message, lock.companion)
    except DomainError as refusal:
        kit.demand(condition=False, text=f"its commitments do not open: {refusal.symbol}")
    else:
        kit.demand(openings.receiving_address == address, "it opens to another address than was ordered")


@requirement("lock-once", "I2")
def lock_once(kit: Kit) -> None:
    """Units that are locked are locked for nothing else."""
    first, second = kit.locked(), kit.locked()
    taken = [(b.series_id, b.start_serial, b.end_serial) for b in first.message.blocks]
    for block in second.message.blocks:
        for series_id, start, end in taken:
            overlaps = block.series_id == series_id and block.start_serial < end and start < block.end_serial
            kit.demand(not overlaps, f"serials of {series_id} are locked twice")


@requirement("ready-content", "§4 row 3")
def ready_content(kit: Kit) -> None:
    """A Ready names the lock, the Prepare that it answers, and its legal date."""
    transfer, answer = kit.ready()
    ready: messages_pb2.Ready = answer.message
    kit.demand(ready.lock_hash == transfer.lock_hash, "it names another lock")
    kit.demand(ready.header.prev_hash == transfer.prepare_hash, "it names another Prepare")
    kit.demand(ready.header.source == kit.partner, f"its source is {ready.header.source}")
    kit.demand(ready.legal_date == kit.legal_date, "its legal date is not that of the Prepare")


@requirement("refuse-reasons", "§4 row 3, §9")
def refuse_reasons(kit: Kit) -> None:
    """A Refuse names its reasons out of the catalogue, in both languages."""
    transfer = kit.incoming(kit.own_address())
    kit.offer(transfer)
    answer = kit.answer(transfer.transfer_id)
    kit.demand(isinstance(answer.message, messages_pb2.Refuse), "an address of nobody was accepted")
    kit.demand(answer.message.lock_hash == transfer.lock_hash, "it names another lock")
    kit.demand(answer.message.reasons, "it names no reason")
    for one in answer.message.reasons:
        kit.demand(one.reason in CATALOGUE, f"{one.reason} is not in the catalogue")
        kit.demand(one.sentence_zh and one.sentence_en, f"{one.reason} has no sentence in both languages")


@requirement("refuse-all", "§9")
def refuse_all(kit: Kit) -> None:
    """All checks run: every failure is named, not the first."""
    unknown = values_pb2.Series()
    unknown.CopyFrom(kit.series)
    unknown.series_id = f"{kit.series.series_id}:nowhere"
    transfer = kit.incoming(kit.own_address(), series=unknown, stated=())
    kit.offer(transfer)
    answer = kit.answer(transfer.transfer_id)
    named = {one.reason for one in getattr(answer.message, "reasons", ())}
    kit.demand(
        {"ADDRESS_UNKNOWN", "SERIES_UNKNOWN"} <= named,
        f"address and series are unknown; it names {', '.join(sorted(named)) or 'nothing'}",
    )


def _source_final(
    kit: Kit, lock: Came, outcome: messages_pb2.Outcome.ValueType, state: messages_pb2.SourceState.ValueType
) -> None:
    decision = kit.decision_on(lock, outcome)
    decision_hash = kit.decide(decision)
    final = kit.first(messages_pb2.SourceFinal, lock.transfer_id).message
    name = messages_pb2.SourceState.Name
    kit.demand(final.state == state, f"its receipt says {name(final.state)}, not {name(state)}")
    kit.demand(final.decision_hash == decision_hash, "its receipt names another decision")
    kit.demand(final.header.prev_hash == decision_hash, "its receipt does not answer the decision")


@requirement("source-commit", "R3, §4 rows 4 and 5")
def source_commit(kit: Kit) -> None:
    """On COMMIT the source extinguishes the units and says MOVED."""
    lock = kit.locked()
    _source_final(kit, lock, COMMIT, messages_pb2.SOURCE_STATE_MOVED)
    kit.demand_state(lock.transfer_id, "MOVED", "after a COMMIT")


@requirement("source-abort", "R3, §4 rows 4 and 5")
def source_abort(kit: Kit) -> None:
    """On ABORT the source releases the units and says RELEASED."""
    lock = kit.locked()
    _source_final(kit, lock, ABORT, messages_pb2.SOURCE_STATE_RELEASED)
    kit.demand_state(lock.transfer_id, "RELEASED", "after an ABORT")


@requirement("destination-commit", "R3, R7, §4 rows 4 and 5")
def destination_commit(kit: Kit) -> None:
    """On COMMIT the destination credits and says CREDITED."""
    transfer, answer = kit.ready()
    decision_hash = kit.decide(kit.commit(transfer, answer))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id).message
    kit.demand(final.state == messages_pb2.DESTINATION_STATE_CREDITED, "it did not credit on a COMMIT")
    kit.demand(final.decision_hash == decision_hash, "its receipt names another decision")
    kit.demand_state(transfer.transfer_id, "CREDITED", "after a COMMIT")


@requirement("destination-abort", "R3, §4 rows 4 and 5")
def destination_abort(kit: Kit) -> None:
    """On ABORT the destination drops and says DROPPED."""
    transfer, _ = kit.ready()
    kit.decide(kit.decision(kit.partner, transfer.transfer_id, ABORT, transfer.lock_hash))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id).message
    kit.demand(final.state == messages_pb2.DESTINATION_STATE_DROPPED, "it did not drop on an ABORT")
    kit.demand_state(transfer.transfer_id, "DROPPED", "after an ABORT")


@requirement("refused-abort", "§5")
def refused_abort(kit: Kit) -> None:
    """REFUSED becomes DROPPED on ABORT, with a receipt."""
    transfer = kit.incoming(kit.own_address())
    kit.offer(transfer)
    kit.answer(transfer.transfer_id)
    kit.decide(kit.decision(kit.partner, transfer.transfer_id, ABORT, transfer.lock_hash))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id).message
    kit.demand(final.state == messages_pb2.DESTINATION_STATE_DROPPED, "a refused transfer was not DROPPED")


@requirement("use-content", "§4 row 8")
def use_content(kit: Kit) -> None:
    """A Use states its kind, purpose, blocks, quantity and the day of its promise."""
    use: messages_pb2.Use = kit.retiring().message
    kit.demand(use.kind == messages_pb2.USE_KIND_RETIRE, "its kind is not RETIRE")
    kit.demand(use.purpose, "it names no purpose")
    total = sum(block.end_serial - block.start_serial for block in use.blocks)
    kit.demand(total == use.quantity_kg > 0, f"its blocks are {total} kg, it states {use.quantity_kg}")
    kit.demand(use.HasField("retiring_date"), "it does not say on which day RETIRING became durable")


@requirement("use-commit", "§4 row 8")
def use_commit(kit: Kit) -> None:
    """On COMMIT of a Use the units are USED."""
    use = kit.retiring()
    state = kit.orders.use_state(use.transfer_id)
    kit.demand(state == "RETIRING", f"before the decision the use is {state}: a certificate came too early")
    _source_final(kit, use, COMMIT, messages_pb2.SOURCE_STATE_USED)
    kit.demand(kit.orders.use_state(use.transfer_id) == "USED", "after a COMMIT the use is not USED")


@requirement("use-abort", "§4 row 8")
def use_abort(kit: Kit) -> None:
    """On ABORT of a Use the units come back."""
    use = kit.retiring()
    _source_final(kit, use, ABORT, messages_pb2.SOURCE_STATE_RELEASED)
    kit.demand(kit.orders.use_state(use.transfer_id) == "RELEASED", "after an ABORT the use is not returned")


@requirement("use-no-withdraw", "§4 row 8")
def use_no_withdraw(kit: Kit) -> None:
    """The holder cannot withdraw a Use."""
    use = kit.retiring()
    try:
        kit.orders.withdraw(use.transfer_id)
    except DomainError:
        pass
    else:
        kit.demand(condition=False, text="the withdrawal of a use was taken")
    kit.settled()
    kit.demand(not kit.said(messages_pb2.Withdraw, use.transfer_id), "a Withdraw was sent for a use")


@requirement("withdraw-content", "§4 row 13")
def withdraw_content(kit: Kit) -> None:
    """A Withdraw names the lock that it would take back."""
    lock = kit.locked()
    kit.orders.withdraw(lock.transfer_id)
    came = kit.first(messages_pb2.Withdraw, lock.transfer_id)
    kit.demand(came.message.lock_hash == lock.opened.message_hash, "it names another lock")
    kit.demand(came.message.header.source == kit.party, f"its source is {came.message.header.source}")


@requirement("withdraw-behind", "§3")
def withdraw_behind(kit: Kit) -> None:
    """A Withdraw is offered behind its lock on a new session."""
    lock = kit.locked()
    kit.orders.withdraw(lock.transfer_id)
    kit.first(messages_pb2.Withdraw, lock.transfer_id)
    session = len(kit.line.hellos) + 1
    kit.cut_and_wait()
    kit.first(messages_pb2.Withdraw, lock.transfer_id, session)
    order = [
        type(one.message)
        for one in kit.line.came
        if one.transfer_id == lock.transfer_id and one.session >= session
    ]
    kit.demand(
        messages_pb2.LockAssertion in order
        and order.index(messages_pb2.LockAssertion) < order.index(messages_pb2.Withdraw),
        "the Withdraw came before the lock that it belongs to",
    )


@requirement("home-notice", "§4 row 15")
def home_notice(kit: Kit) -> None:
    """A HomeNotice is taken."""
    kit.connected()
    notice = messages_pb2.HomeNotice(
        header=kit.line.header(source=kit.party, transfer_id=secrets.token_bytes(16)),
        blocks=[values_pb2.UnitBlock(series_id=kit.series.series_id, start_serial=1, end_serial=2)],
        from_region=kit.partner,
        to_region=kit.party,
        log_index=3,
        decision_hash=bytes(32),
    )
    kit.acknowledged(kit.line.number([notice]))
    kit.settled()
    refused = {one.message.message_hash for one in kit.said(messages_pb2.Nack)}
    kit.demand(hash_of(notice) not in refused, "a HomeNotice was refused")


@requirement("record", "§4 row 11")
def record(kit: Kit) -> None:
    """A record is believed for the roots that signed it, never for the bridge that brings it."""
    kit.connected()
    notice = messages_pb2.RecordNotice(
        header=kit.line.header(), record=kit.agreement(complete=False), log_index=4
    )
    kit.line.number([notice])
    kit.nack(hash_of(notice))


@requirement("issue-receipt", "§4 row 9")
def issue_receipt(kit: Kit) -> None:
    """A receipt for an Issue that it never sent is void."""
    kit.connected()
    receipt = messages_pb2.IssueReceipt(
        header=kit.line.header(),
        issue_id=secrets.token_bytes(16),
        issue_hash=secrets.token_bytes(32),
        accepted=True,
        log_index=5,
        legal_date=kit.legal_date,
    )
    kit.line.number([receipt])
    kit.nack(hash_of(receipt))
