"""Requirements on records of keys, on what witnesses make final, and on epochs (PROTOCOL 2, 6, 8)."""

from __future__ import annotations

from collections.abc import Callable

from tanqiao.api.bridge.v1 import messages_pb2, reconcile_pb2, recovery_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.batch import item_envelope, sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.conformance.authorities import SpareKey
from tanqiao.testing.conformance.kit import ABORT, Incoming, Kit, hash_of
from tanqiao.testing.conformance.line import FIRST_EPOCH, Came
from tanqiao.testing.conformance.requirements import requirement

FULL = reconcile_pb2.RECONCILE_DEPTH_FULL
FORGOTTEN = 1_000
RECORD_INDEX = 7
"""Log index that notices of keys state: behind the records of the beginning, before every decision."""


# ----------------------------------------------------------------------------------------------------
# Records of keys.


@requirement("key-record", "§2, §4 row 11")
def key_record(kit: Kit) -> None:
    """A key counts from the record that its authority's root signed."""
    key = _announced(kit)
    transfer = _signed_by(kit, key)
    kit.offer(transfer)
    answer = kit.answer(transfer.transfer_id)
    kit.demand(
        isinstance(answer.message, messages_pb2.Ready), "a lock under a key that was recorded was refused"
    )


@requirement("key-record-root", "§2, §4 row 11")
def key_record_root(kit: Kit) -> None:
    """The record of a key is believed for the root that vouches for its owner, and no other."""
    kit.connected()
    key = kit.roots.spare_key(kit.partner)
    own = f"authority/{kit.party.removeprefix('region/')}"
    notice = _notice(kit, kit.roots.key_record_by(key.entry, own))
    kit.line.number([notice])
    kit.nack(hash_of(notice))
    _demand_no_ready(kit, _signed_by(kit, key), "a key that another authority's root recorded")


@requirement("key-revoked", "§2")
def key_revoked(kit: Kit) -> None:
    """A revocation acts at once: nothing is promised on what the key signs."""
    key = _announced(kit)
    kit.acknowledged(kit.line.number([_notice(kit, kit.roots.key_record(key.entry, revoked=True))]))
    _demand_no_ready(kit, _signed_by(kit, key), "a key that was revoked")


@requirement("key-revoked-stays", "§2")
def key_revoked_stays(kit: Kit) -> None:
    """A key that was revoked stays revoked, whatever a later record says of it."""
    key = _announced(kit)
    kit.acknowledged(kit.line.number([_notice(kit, kit.roots.key_record(key.entry, revoked=True))]))
    kit.acknowledged(kit.line.number([_notice(kit, kit.roots.key_record(key.entry))]))
    _demand_no_ready(kit, _signed_by(kit, key), "a key that was revoked and recorded again")


def _announced(kit: Kit) -> SpareKey:
    kit.connected()
    key = kit.roots.spare_key(kit.partner)
    kit.acknowledged(kit.line.number([_notice(kit, kit.roots.key_record(key.entry))]))
    return key


def _notice(kit: Kit, record: envelope_pb2.Envelope) -> messages_pb2.RecordNotice:
    return messages_pb2.RecordNotice(header=kit.line.header(), record=record, log_index=RECORD_INDEX)


def _signed_by(kit: Kit, key: SpareKey) -> Incoming:
    """Make an incoming transfer whose lock this key of the partner signs."""
    made = kit.incoming()
    lock = messages_pb2.LockAssertion.FromString(made.lock.payload)
    lock.header.key_epoch = key.signer.key_epoch
    batch = sign_batch(key.signer, payload_type_of(lock), [lock.SerializeToString()])
    return kit.prepared(lock, item_envelope(batch, 0), made.companion, made.prepare.series)


def _demand_no_ready(kit: Kit, transfer: Incoming, under: str) -> None:
    kit.offer(transfer)
    kit.settled()
    kit.be_silent()
    kit.demand(
        not kit.said(messages_pb2.Ready, transfer.transfer_id), f"a Ready was given on a lock under {under}"
    )


# ----------------------------------------------------------------------------------------------------
# Finality.


@requirement("finality-pending", "R10")
def finality_pending(kit: Kit) -> None:
    """What is credited and not yet cosigned is visible, and can neither be transferred nor retired."""
    address, transfer_id = _credited(kit)
    kit.demand(
        kit.orders.finality(transfer_id) == "PENDING",
        f"before any witness has cosigned, it shows {kit.orders.finality(transfer_id) or 'nothing'}",
    )
    orders: dict[str, Callable[[], object]] = {
        "retired": lambda: kit.orders.use_of(address),
        "transferred": lambda: kit.orders.lock_of(address, kit.partner_address(), kit.partner),
    }
    for name, order in orders.items():
        try:
            order()
        except DomainError as refusal:
            kit.demand(
                refusal.symbol == "UNIT_PENDING",
                f"pending units could not be {name} for another reason: {refusal.symbol}",
            )
        else:
            kit.demand(condition=False, text=f"pending units were {name}")


@requirement("finality-quorum", "§8")
def finality_quorum(kit: Kit) -> None:
    """A checkpoint below the quorum of witnesses makes nothing final."""
    _, transfer_id = _credited(kit)
    log = kit.line.log
    log.seal(log.witnesses[:1])
    kit.poll(lambda: log.shown, "it never asks how far the bridge's log is cosigned")
    kit.be_silent()
    kit.demand(kit.orders.finality(transfer_id) == "PENDING", "one witness of three made a decision final")


@requirement("finality-leaf", "§4 row 6, R9")
def finality_leaf(kit: Kit) -> None:
    """A bundle makes that decision final whose leaf it proves, and no other."""
    _, first = _credited(kit)
    _, second = _credited(kit)
    log, name = kit.line.log, (kit.partner, second)
    log.swapped[name] = (kit.partner, first)
    try:
        log.seal(log.witnesses)
        kit.poll(lambda: name in log.asked, "it never asks for the bundle of a decision that is pending")
        kit.be_silent()
        kit.demand(kit.orders.finality(second) == "PENDING", "the bundle of another transfer made it final")
    finally:
        del log.swapped[name]


@requirement("finality-bundle", "§4 row 6, R10")
def finality_bundle(kit: Kit) -> None:
    """What a quorum has cosigned is final, once its bundle is there."""
    _, transfer_id = _credited(kit)
    kit.line.log.seal(kit.line.log.witnesses)
    kit.poll(
        lambda: kit.orders.finality(transfer_id) == "QUORUM",
        "a decision that a quorum has cosigned stays pending",
    )


def _credited(kit: Kit) -> tuple[str, bytes]:
    """Bring an incoming transfer to CREDITED, its leaf in the log; address and transfer id."""
    address = kit.orders.address()
    transfer, answer = kit.ready(address)
    decision = kit.commit(transfer, answer)
    kit.line.log.append(decision)
    kit.decide(decision)
    kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    return address, transfer.transfer_id


# ----------------------------------------------------------------------------------------------------
# Epochs of the bridge.


@requirement("epoch-record", "§6")
def epoch_record(kit: Kit) -> None:
    """A new epoch of the bridge is believed for the root of its authority, and no other."""
    kit.settled()
    before = (kit.line.epoch, kit.line.epoch_record)
    own = f"authority/{kit.party.removeprefix('region/')}"
    for record in (None, kit.roots.epoch_record(before[0] + 1, kit.log_index + 1, own)):
        _demand_not_heard(kit, before[0] + 1, record, "a new epoch without its authority's signature")
    kit.line.speak_in(*before, wants_report=False)
    kit.settled()


@requirement("epoch-report", "§6")
def epoch_report(kit: Kit) -> None:
    """A bridge that was restored is told everything of it that was acted on above the index."""
    transfer, answer = kit.ready()
    decision = kit.commit(transfer, answer)
    decided = kit.decide(decision)
    kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    _begin(kit, decision.log_index, wants_report=True)
    reports = kit.line.reports
    kit.poll(
        lambda: any(page.complete for page in reports.of(kit.line.epoch)), "no complete report was handed in"
    )
    told = {
        message_hash(item.message.payload_type, item.message.payload)
        for page in reports.of(kit.line.epoch)
        for item in page.items
    }
    kit.demand(decided in told, "the report leaves a decision out that was acted on")
    kit.settled()


@requirement("epoch-older-void", "§6")
def epoch_older_void(kit: Kit) -> None:
    """What an older epoch signed beyond the index is refused, and what it signed before counts."""
    beyond, before = kit.locked(), kit.locked()
    counts = _signed_in(kit, before, kit.line.epoch)
    void = _signed_in(kit, beyond, kit.line.epoch)
    _begin(kit, void.log_index)
    kit.line.number([void])
    kit.nack(hash_of(void))
    kit.demand_unmoved(beyond.transfer_id, "LOCKED", "a decision that an older epoch signed beyond the index")
    kit.decide(counts)
    kit.demand_state(before.transfer_id, "RELEASED", "after an ABORT that was signed before the index")


@requirement("epoch-adopted", "§6")
def epoch_adopted(kit: Kit) -> None:
    """What an older epoch signed counts where a leaf of the new one names it."""
    lock = kit.locked()
    old = _signed_in(kit, lock, kit.line.epoch)
    envelope = item_envelope(sign_batch(kit.line.signer, payload_type_of(old), [old.SerializeToString()]), 0)
    _begin(kit, old.log_index)
    adopted = recovery_pb2.AdoptedNotice(
        header=kit.line.header(),
        message=envelope,
        log_index=old.log_index + 1,
        bridge_epoch=kit.line.epoch,
    )
    kit.acknowledged(kit.line.number([adopted]))
    final = kit.first(messages_pb2.SourceFinal, lock.transfer_id).message
    kit.demand(final.decision_hash == hash_of(old), "its receipt names another decision")
    kit.demand_state(lock.transfer_id, "RELEASED", "after an ABORT that the new epoch adopted")


@requirement("epoch-stale", "§6")
def epoch_stale(kit: Kit) -> None:
    """A bridge that goes back to an older epoch is not heard."""
    older = (kit.line.epoch, kit.line.epoch_record)
    _begin(kit, kit.log_index + 1)
    newer = (kit.line.epoch, kit.line.epoch_record)
    _demand_not_heard(kit, *older, "an epoch that has been superseded")
    kit.line.speak_in(*newer, wants_report=False)
    kit.settled()


# ----------------------------------------------------------------------------------------------------
# Reconciliation, and a region that was restored.


@requirement("reconcile-asked", "§7")
def reconcile_asked(kit: Kit) -> None:
    """Asked to reconcile, it states under its signature what it has, at an index of the bridge's log."""
    kit.settled()
    statements = kit.line.statements
    before = len(statements.kept)
    kit.line.put(sync_pb2.ConnectResponse(reconcile_now=sync_pb2.ReconcileNow(full=True)))
    kit.poll(
        lambda: any(one.depth == FULL for one in statements.kept[before:]),
        "it was asked for a full reconciliation and stated nothing",
    )
    stated = next(one for one in statements.kept[before:] if one.depth == FULL)
    held_kg = kit.orders.held_kg()
    kit.demand(stated.root and stated.run_id, "its statement names no root, or no run")
    kit.demand(
        stated.quantity_kg >= held_kg, f"it states {stated.quantity_kg} kg, one account holds {held_kg} kg"
    )


@requirement("restored", "§6")
def restored(kit: Kit) -> None:
    """Where the bridge has seen more of it, it takes a new incarnation, and no order before it is clean."""
    lock = kit.locked()
    kit.settled()
    incarnation = kit.line.hellos[-1].incarnation
    kit.line.statements.waits = True
    try:
        kit.line.forgotten = FORGOTTEN
        kit.line.cut()
        kit.wait(
            lambda: kit.line.hellos[-1].incarnation > incarnation and kit.line.hellos[-1].recovering,
            "it does not begin a new incarnation that recovers",
        )
        try:
            kit.orders.lock(kit.partner_address(), kit.partner)
        except DomainError:
            pass
        else:
            kit.demand(condition=False, text="it took an order before it had reconciled")
    finally:
        kit.line.forgotten, kit.line.statements.waits = 0, False
    kit.wait(lambda: not kit.line.hellos[-1].recovering, "it does not open when its books are the same")
    kit.demand_unmoved(lock.transfer_id, "LOCKED", "recovery")
    kit.locked()


def _begin(kit: Kit, continues_from: int, *, wants_report: bool = False) -> None:
    """Begin the next epoch of the bridge, rightly signed; the region hears it."""
    kit.connected()
    epoch = max(kit.line.epoch, FIRST_EPOCH) + 1
    sessions = len(kit.line.hellos)
    record = kit.roots.epoch_record(epoch, continues_from)
    kit.line.speak_in(epoch, record, wants_report=wants_report)
    kit.wait(lambda: len(kit.line.hellos) > sessions, "the region does not dial again after a cut")
    kit.settled()


def _signed_in(kit: Kit, lock: Came, epoch: int) -> messages_pb2.Decision:
    decision = kit.decision_on(lock, ABORT)
    decision.bridge_epoch = epoch
    return decision


def _demand_not_heard(kit: Kit, epoch: int, record: envelope_pb2.Envelope | None, what: str) -> None:
    """Speak in an epoch, and demand that nothing is taken on the sessions that follow: the region leaves."""
    sessions = len(kit.line.hellos)
    kit.line.speak_in(epoch, record, wants_report=False)
    kit.wait(lambda: len(kit.line.hellos) > sessions, "the region does not dial again after a cut")
    nack = messages_pb2.Nack(header=kit.line.header(), message_hash=bytes(32))
    number = kit.line.number([nack])
    kit.be_silent()
    kit.demand(kit.line.acknowledged < number, f"it takes messages of {what}")
