"""Requirements on the line: sessions, numbered and offered traffic, resuming, Nacks (PROTOCOL section 3)."""

from __future__ import annotations

import secrets
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.reasons import CATALOGUE
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.conformance.kit import ABORT, COMMIT, Kit, hash_of
from tanqiao.testing.conformance.requirements import requirement

BURST: Final = 60


@requirement("hello", "§3")
def hello(kit: Kit) -> None:
    """A session begins with a signed Hello of this network, in a version that is known."""
    kit.connected()
    said = kit.line.hellos[0]
    kit.demand(said.incarnation >= 1, f"its incarnation is {said.incarnation}, at least 1 is demanded")
    kit.demand(said.session_number >= 1, f"its session number is {said.session_number}")
    kit.demand(1 in said.message_versions, "its Hello does not name message version 1")


@requirement("session-grows", "§3")
def session_grows(kit: Kit) -> None:
    """It dials again after a cut, with a greater session number."""
    kit.connected()
    before = kit.line.hellos[-1].session_number
    after = kit.cut_and_wait().session_number
    kit.demand(after > before, f"session {after} follows session {before}")


@requirement("hello-received", "§3")
def hello_received(kit: Kit) -> None:
    """Its Hello names the highest number that it received, and of which epoch."""
    kit.settled()
    number = len(kit.line.outbox)
    said = kit.cut_and_wait()
    kit.demand(
        (said.received_incarnation, said.received_number) == (kit.line.epoch, number),
        f"number {number} of epoch {kit.line.epoch} was acknowledged; its Hello names {said.received_number} "
        f"of {said.received_incarnation}",
    )


@requirement("acknowledges", "§3")
def acknowledges(kit: Kit) -> None:
    """What is numbered is acknowledged when its effect is durable."""
    kit.settled()


@requirement("numbers-dense", "§3")
def numbers_dense(kit: Kit) -> None:
    """What it numbers is dense, begins at 1, and keeps its bytes."""
    for _ in range(3):
        transfer, answer = kit.ready()
        kit.decide(kit.commit(transfer, answer))
        kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    wrong = [one for one in kit.line.violations if "number" in one]
    kit.demand(not wrong, "; ".join(wrong[:3]))


@requirement("numbered-again", "§3")
def numbered_again(kit: Kit) -> None:
    """What the bridge's Hello does not acknowledge is sent again, the same bytes."""
    transfer, answer = kit.ready()
    kit.decide(kit.commit(transfer, answer))
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    with kit.line.changed:  # as if it had not come: the bridge forgot it in a crash
        kit.line.received_number = final.number - 1
        session = len(kit.line.hellos) + 1
    kit.cut_and_wait()
    again = kit.first(messages_pb2.DestFinal, transfer.transfer_id, session)
    kit.demand(again.number == final.number, f"number {final.number} came again as {again.number}")
    kit.demand(again.opened.payload == final.opened.payload, "it came again with other bytes")


@requirement("numbered-once", "§3")
def numbered_once(kit: Kit) -> None:
    """A number that comes again has no second effect and is acknowledged."""
    transfer, answer = kit.ready()
    kit.decide(kit.commit(transfer, answer))
    number = len(kit.line.outbox)
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    kit.line.repeat(number)
    kit.settled()
    finals = {one.number for one in kit.said(messages_pb2.DestFinal, transfer.transfer_id)}
    kit.demand(finals == {final.number}, "a decision that came twice was answered with two receipts")


@requirement("numbered-gap", "§3")
def numbered_gap(kit: Kit) -> None:
    """A number behind a gap is not taken; what is missing is taken first."""
    transfer, answer = kit.ready()
    kit.settled()
    decision = kit.commit(transfer, answer)
    first = len(kit.line.outbox) + 1
    batch = sign_batch(kit.line.signer, payload_type_of(decision), [decision.SerializeToString()])
    ahead = sync_pb2.NumberedBatch(incarnation=kit.line.epoch, first_number=first + 1, batch=batch)
    kit.line.put(sync_pb2.ConnectResponse(numbered=ahead))
    kit.be_silent()
    kit.demand(kit.line.acknowledged < first, f"number {first + 1} was acknowledged, {first} never came")
    kit.demand_state(transfer.transfer_id, "READY", "a number behind a gap took effect")
    kit.decide(decision)
    kit.first(messages_pb2.DestFinal, transfer.transfer_id)


@requirement("nack", "§3, §9")
def nack(kit: Kit) -> None:
    """What is numbered and cannot be accepted gets a signed Nack with its reasons."""
    kit.connected()
    wrong = messages_pb2.HomeNotice(
        header=kit.line.header(source=kit.party, transfer_id=secrets.token_bytes(16)),
        blocks=[values_pb2.UnitBlock(series_id="x", start_serial=9, end_serial=1)],
        from_region=kit.party,
        to_region=kit.partner,
    )
    kit.line.number([wrong])
    reasons = kit.nack(hash_of(wrong)).message.reasons
    kit.demand(reasons, "a Nack names no reason")
    for one in reasons:
        kit.demand(
            one.reason in CATALOGUE, f"a Nack names a reason that is not in the catalogue: {one.reason}"
        )
        kit.demand(one.sentence_zh and one.sentence_en, f"{one.reason} has no sentence in both languages")


@requirement("nack-goes-on", "§3")
def nack_goes_on(kit: Kit) -> None:
    """The stream goes on behind a message that cannot be accepted."""
    kit.connected()
    sessions = len(kit.line.hellos)
    transfer, answer = kit.ready()
    wrong = kit.decision(kit.partner, secrets.token_bytes(16), COMMIT, bytes(32), secrets.token_bytes(32))
    kit.line.number([wrong])
    kit.decide(kit.commit(transfer, answer))
    kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    kit.demand(len(kit.line.hellos) == sessions, "it left the line after a message that it cannot accept")


@requirement("nack-ends", "§3")
def nack_ends(kit: Kit) -> None:
    """A Nack that cannot be accepted is not answered with another."""
    kit.connected()
    wrong = messages_pb2.Nack(header=kit.line.header(), message_hash=b"short")
    wrong.header.audience[:] = [kit.partner]
    kit.acknowledged(kit.line.number([wrong]))
    kit.settled()
    kit.demand(
        hash_of(wrong) not in {one.message.message_hash for one in kit.said(messages_pb2.Nack)},
        "a Nack was answered with a Nack: two nodes would go on for ever",
    )


@requirement("offers-again", "§3, §6")
def offers_again(kit: Kit) -> None:
    """A lock that is undecided is offered again on each new session, same bytes."""
    lock = kit.locked()
    session = len(kit.line.hellos) + 1
    kit.cut_and_wait()
    again = kit.first(messages_pb2.LockAssertion, lock.transfer_id, session)
    kit.demand(again.opened.payload == lock.opened.payload, "the lock was offered again with other bytes")
    kit.demand(again.companion == lock.companion, "the openings beside the lock were left out or changed")


@requirement("offers-again-use", "§3, §6")
def offers_again_use(kit: Kit) -> None:
    """A use that is undecided is offered again on each new session."""
    use = kit.retiring()
    session = len(kit.line.hellos) + 1
    kit.cut_and_wait()
    again = kit.first(messages_pb2.Use, use.transfer_id, session)
    kit.demand(again.opened.payload == use.opened.payload, "the use was offered again with other bytes")


@requirement("answers-again", "§3, §6")
def answers_again(kit: Kit) -> None:
    """A Ready that is undecided is offered again on each new session, same bytes."""
    transfer, answer = kit.ready()
    session = len(kit.line.hellos) + 1
    kit.cut_and_wait()
    again = kit.first(messages_pb2.Ready, transfer.transfer_id, session)
    kit.demand(again.opened.payload == answer.opened.payload, "the Ready was offered again with other bytes")


@requirement("busy", "§3")
def busy(kit: Kit) -> None:
    """What the bridge was too busy for is offered again after the time it names."""
    lock = kit.locked()
    kit.settled()
    before = len(kit.said(messages_pb2.LockAssertion, lock.transfer_id))
    kit.line.put(
        sync_pb2.ConnectResponse(busy=sync_pb2.Busy(transfer_ids=[lock.transfer_id], retry_after_ms=100))
    )
    kit.wait(
        lambda: len(kit.said(messages_pb2.LockAssertion, lock.transfer_id)) > before,
        "a lock was not offered again after BUSY",
    )


@requirement("need-prepare", "§3")
def need_prepare(kit: Kit) -> None:
    """A Prepare that the bridge forgot is returned as it came, with the answer to it."""
    transfer, answer = kit.ready()
    kit.line.put(
        sync_pb2.ConnectResponse(
            need_prepare=sync_pb2.NeedPrepare(source=kit.partner, transfer_ids=[transfer.transfer_id])
        )
    )

    def found() -> list[sync_pb2.ReturnedPrepare]:
        return [
            one
            for one in kit.line.returned
            if message_hash(one.prepare.payload_type, one.prepare.payload) == transfer.prepare_hash
        ]

    kit.wait(lambda: bool(found()), "NEED_PREPARE was not answered with the Prepare as it came")
    returned = found()[-1]
    given = message_hash(returned.answer.payload_type, returned.answer.payload)
    kit.demand(given == answer.opened.message_hash, "the answer beside the Prepare is not the one given")
    openings = returned.openings.SerializeToString()
    kit.demand(openings == transfer.companion, "the openings were not returned")


@requirement("burst", "§3")
def burst(kit: Kit) -> None:
    """Many Prepares at once are all answered: nothing is dropped under pressure."""
    address = kit.orders.address()
    transfers = [kit.incoming(address) for _ in range(BURST)]
    kit.offer(*transfers)
    for one in transfers:
        kit.answer(one.transfer_id)
    for one in transfers:
        kit.line.number([kit.decision(kit.partner, one.transfer_id, ABORT, one.lock_hash)])
    kit.settled()
    for one in transfers:
        kit.first(messages_pb2.DestFinal, one.transfer_id)
