"""Bad signed messages and bad frames at a bridge: every type of message under every attack, every frame.

What does not verify, or has not the shape that it must have, is refused with its reason in both languages and
leaves every table as it was. What a region signed and cannot take back is kept where the protocol says so: as
evidence, with a Nack and a case (section 3), or as the durable refusal of an Issue or a transfer, which moves
no unit and no claim.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao_bridge.storage.tables import conflict_case, evidence, inbox
from tests.contract.bridge.harness import (
    SERIES,
    PlayedRegion,
    issue_message,
)
from tests.contract.bridge.unchanged import (
    UNKNOWN_FIELD,
    World,
    digest,
    period,
    settled,
    spoil,
    world,
)

__all__ = ["world"]

Pair = tuple[Any, bytes]
LEDGER: Final = frozenset(
    {"decision", "decision_block", "message", "signature", "issue", "log_leaf", "counter", "outbox"}
    | {"outbox_stream", "late_answer", "evidence", "conflict_case", "frozen", "inbox_stream"}
)
"""Where a durable refusal is written down; locations, claims, series and agreements are not among them."""


# -- good messages of every type ----------------------------------------------------------------------------


def lock(world: World) -> Pair:
    return world.shanghai.lock(10_000, 11_000)


def use(world: World) -> Pair:
    return world.shanghai.use(10_000, 11_000), b""


def issue(world: World) -> Pair:
    months = ("2026-02-01", "2026-03-01")
    made = issue_message(world.shanghai, world.declared, "310000:instalment:2", 200_000, 100_000, months)
    return made, b""


def ready(world: World) -> Pair:
    header = world.shanghai.header(
        transfer_id=secrets.token_bytes(16), source=SHENZHEN, prev_hash=secrets.token_bytes(32)
    )
    return messages_pb2.Ready(
        header=header,
        lock_hash=secrets.token_bytes(32),
        legal_date=values_pb2.Date(year=2026, month=3, day=2),
    ), b""


def refuse(world: World) -> Pair:
    made, _ = ready(world)
    reasons = [values_pb2.Refusal(reason="ADDRESS_UNKNOWN")]
    return messages_pb2.Refuse(header=made.header, lock_hash=made.lock_hash, reasons=reasons), b""


def withdraw(world: World) -> Pair:
    header = world.shanghai.header(transfer_id=secrets.token_bytes(16), source=SHANGHAI)
    return messages_pb2.Withdraw(header=header, lock_hash=secrets.token_bytes(32)), b""


OFFERED: Final[tuple[Callable[[World], Pair], ...]] = (lock, use, issue, ready, refuse, withdraw)


def require_told(refusal: DomainError) -> str:
    """Demand a reason with a sentence in both languages; its symbol."""
    assert refusal.symbol != "INTERNAL"
    assert refusal.sentence("zh")
    assert refusal.sentence("en")
    return refusal.symbol


def submit(world: World, batch: envelope_pb2.EnvelopeBatch, party: str = SHANGHAI) -> list[str]:
    """Offer a batch in one call; the reasons of its refusal, or of its items'."""
    request = sync_pb2.SubmitMessagesRequest(batch=batch)
    method = "/tanqiao.api.bridge.v1.SyncService/SubmitMessages"
    try:
        data = world.send(method, request.SerializeToString(), party)
    except DomainError as refusal:
        return [require_told(refusal)]
    response = sync_pb2.SubmitMessagesResponse.FromString(data)
    symbols = []
    for refused in response.refused:
        for reason in refused.reasons:
            assert reason.sentence_zh
            assert reason.sentence_en
            symbols.append(reason.reason)
    return symbols


def signed(
    world: World, message: Any, companion: bytes = b"", party: str = SHANGHAI
) -> envelope_pb2.EnvelopeBatch:
    companions = [companion] if companion else []
    return sign_batch(
        world.network.signer(party), payload_type_of(message), [message.SerializeToString()], companions
    )


# -- attacks on the envelope --------------------------------------------------------------------------------

Attack = Callable[[World, Any, bytes], envelope_pb2.EnvelopeBatch]


def headed(**changes: Any) -> Attack:
    """Sign a message whose header says something else."""

    def attack(world: World, message: Any, companion: bytes) -> envelope_pb2.EnvelopeBatch:
        spoil(message, **{f"header__{name}": value for name, value in changes.items()})
        return signed(world, message, companion)

    return attack


def after_signing(change: Callable[[envelope_pb2.EnvelopeBatch], object]) -> Attack:
    """Change the batch after it was signed."""

    def attack(world: World, message: Any, companion: bytes) -> envelope_pb2.EnvelopeBatch:
        batch = signed(world, message, companion)
        change(batch)
        return batch

    return attack


def _tamper(batch: envelope_pb2.EnvelopeBatch) -> None:
    payload = bytearray(batch.payloads[0])
    payload[-1] ^= 1
    batch.payloads[0] = bytes(payload)


def _truncate(batch: envelope_pb2.EnvelopeBatch) -> None:
    batch.payloads[0] = batch.payloads[0][:-1]


def _forge(batch: envelope_pb2.EnvelopeBatch) -> None:
    signature = bytearray(batch.signatures[0].signature)
    signature[0] ^= 1
    batch.signatures[0].signature = bytes(signature)


def _retype(batch: envelope_pb2.EnvelopeBatch) -> None:
    types = sorted(PAYLOAD_TYPES)
    batch.payload_type = types[(types.index(batch.payload_type) + 1) % len(types)]


def _of_another(world: World, message: Any, companion: bytes) -> envelope_pb2.EnvelopeBatch:
    return signed(world, message, companion, SHENZHEN)


def _with_more(extra: bytes) -> Attack:
    def attack(world: World, message: Any, companion: bytes) -> envelope_pb2.EnvelopeBatch:
        payload = message.SerializeToString() + extra
        signer = world.network.signer(SHANGHAI)
        companions = [companion] if companion else []
        return sign_batch(signer, payload_type_of(message), [payload], companions)

    return attack


ATTACKS: Final[dict[str, tuple[Attack, str]]] = {
    "tampered": (after_signing(_tamper), "SIGNATURE_INVALID"),
    "truncated": (after_signing(_truncate), "SIGNATURE_INVALID"),
    "a forged signature": (after_signing(_forge), "SIGNATURE_INVALID"),
    "re-typed": (after_signing(_retype), "SIGNATURE_INVALID"),
    "an item added": (after_signing(lambda batch: batch.payloads.append(b"x")), "?"),
    "no signature": (after_signing(lambda batch: batch.ClearField("signatures")), "SIGNATURE_MISSING"),
    "an unknown key": (
        after_signing(lambda batch: setattr(batch.signatures[0], "key_id", bytes(16))),
        "KEY_UNKNOWN",
    ),
    "another region's key": (_of_another, "SENDER_MISMATCH"),
    "another network": (headed(network_id="test-other"), "NETWORK_MISMATCH"),
    "another audience": (headed(audience=[SHENZHEN]), "AUDIENCE_MISMATCH"),
    "no audience": (headed(audience=None), "AUDIENCE_MISMATCH"),
    "another sender": (headed(sender=SHENZHEN), "SENDER_MISMATCH"),
    "another epoch": (headed(key_epoch=7), "KEY_EPOCH_WRONG"),
    "a short message id": (headed(message_id=b"123"), "MESSAGE_MALFORMED"),
    "a short transfer id": (headed(transfer_id=b"123"), "MESSAGE_MALFORMED"),
    "a short hash": (headed(prev_hash=b"123"), "MESSAGE_MALFORMED"),
    "a short digest of rules": (headed(rules_digest=b"123"), "MESSAGE_MALFORMED"),
    "an unknown field": (_with_more(UNKNOWN_FIELD), "UNKNOWN_FIELD"),
    "junk behind it": (_with_more(b"\xff\xff\xff"), "MESSAGE_MALFORMED"),
    "too large": (_with_more(b"\xfa\x3f" + b"\x80\x80\x40" + bytes(1 << 20)), "MESSAGE_TOO_LARGE"),
}


@pytest.mark.parametrize("make", OFFERED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_message_that_does_not_verify_is_refused_and_changes_nothing(
    world: World, make: Callable[[World], Pair], name: str
) -> None:
    attack, symbol = ATTACKS[name]
    message, companion = make(world)
    batch = attack(world, message, companion)
    before = digest(world.database)
    symbols = submit(world, batch)
    if symbol == "?":  # one companion for two items is malformed before the signature is looked at
        assert symbols in (["SIGNATURE_INVALID"], ["MESSAGE_MALFORMED"])
    else:
        assert symbols == [symbol]
    assert digest(world.database) == before


@pytest.mark.parametrize("make", OFFERED, ids=lambda make: make.__name__)
def test_a_good_message_in_anothers_hands_is_refused(world: World, make: Callable[[World], Pair]) -> None:
    message, companion = make(world)
    before = digest(world.database)
    assert submit(world, signed(world, message, companion), SHENZHEN) == ["PEER_NOT_SENDER"]
    assert digest(world.database) == before


# -- what a message states ----------------------------------------------------------------------------------

Blocks = list[values_pb2.UnitBlock]


def blocks(*ranges: tuple[int, int], series_id: str = SERIES) -> Blocks:
    return [values_pb2.UnitBlock(series_id=series_id, start_serial=a, end_serial=b) for a, b in ranges]


MUTATIONS: Final[tuple[tuple[Callable[[World], Pair], dict[str, Any], str], ...]] = (
    *(
        (make, changes, symbol)
        for make in (lock, use)
        for changes, symbol in (
            ({"header__transfer_id": b""}, "MESSAGE_MALFORMED"),
            ({"header__source": ""}, "FIELD_MISSING"),
            ({"header__source": SHENZHEN}, "SENDER_MISMATCH"),
            ({"blocks": None}, "FIELD_MISSING"),
            ({"blocks": blocks((11_000, 10_000))}, "RANGE_REVERSED"),
            ({"blocks": blocks((10_000, 10_000))}, "RANGE_REVERSED"),
            ({"blocks": blocks((-10, 10))}, "FIELD_INVALID"),
            ({"blocks": blocks((10_000, 10_600), (10_500, 11_000))}, "RANGE_OVERLAP"),
            ({"blocks": blocks(*((at, at + 1) for at in range(1_001)))}, "BATCH_TOO_LARGE"),
            ({"blocks": blocks((10_000, 11_000), series_id="")}, "FIELD_INVALID"),
            ({"blocks": blocks((10_000, 11_000), series_id="x" * 161)}, "FIELD_INVALID"),
            ({"quantity_kg": 0}, "FIELD_INVALID"),
            ({"quantity_kg": -1_000}, "FIELD_INVALID"),
            ({"quantity_kg": 999}, "FIELD_INVALID"),
            ({"owner_commitment": b"short"}, "MESSAGE_MALFORMED"),
            ({"purpose": "x" * 65}, "TEXT_TOO_LONG"),
            ({"purpose": "a\x00b"}, "FIELD_INVALID"),
        )
    ),
    (lock, {"destination": ""}, "FIELD_INVALID"),
    (lock, {"destination": SHANGHAI}, "FIELD_INVALID"),
    (lock, {"destination": "bridge"}, "FIELD_INVALID"),
    (lock, {"destination": "region/440300\x00"}, "FIELD_INVALID"),
    (lock, {"receiving_address_commitment": b""}, "MESSAGE_MALFORMED"),
    (lock, {"receiving_address_commitment": bytes(32)}, "OPENING_MISMATCH"),
    (lock, {"owner_commitment": bytes(32)}, "OPENING_MISMATCH"),
    (use, {"kind": 0}, "FIELD_MISSING"),
    (use, {"kind": 9}, "ENUM_UNKNOWN"),
    (use, {"purpose": ""}, "FIELD_MISSING"),
    (use, {"beneficiary_commitment": b"short"}, "FIELD_INVALID"),
    (use, {"document_digest": b"short"}, "FIELD_INVALID"),
    (use, {"retiring_date": None}, "FIELD_MISSING"),
    (use, {"retiring_date": values_pb2.Date(year=2026, month=2, day=30)}, "FIELD_INVALID"),
    (issue, {"issue_id": b""}, "MESSAGE_MALFORMED"),
    (issue, {"issue_id": bytes(17)}, "MESSAGE_MALFORMED"),
    (issue, {"block__end_serial": 200_000}, "RANGE_REVERSED"),
    (issue, {"block__start_serial": -1}, "FIELD_INVALID"),
    (issue, {"block__series_id": "310000:SH_SHCER:P-0002:2026:1"}, "FIELD_INVALID"),
    (issue, {"quantity_kg": 0}, "FIELD_INVALID"),
    (issue, {"quantity_kg": -100_000}, "FIELD_INVALID"),
    (issue, {"claim_id": ""}, "FIELD_MISSING"),
    (issue, {"claim_id": "x" * 97}, "TEXT_TOO_LONG"),
    (issue, {"claim_id": "a\x00"}, "FIELD_INVALID"),
    (issue, {"claim_receipt_hash": b""}, "FIELD_MISSING"),
    (issue, {"claim_receipt_hash": b"short"}, "FIELD_INVALID"),
    (issue, {"period": None}, "FIELD_MISSING"),
    (issue, {"period": period((2026, 3, 1), (2026, 2, 1))}, "RANGE_REVERSED"),
    (issue, {"activity_quantity": -1}, "QUANTITY_NOT_POSITIVE"),
    (issue, {"activity_unit": "x" * 33}, "TEXT_TOO_LONG"),
    (issue, {"series__programme": ""}, "FIELD_MISSING"),
    (issue, {"series__source_id": "x" * 65}, "TEXT_TOO_LONG"),
    (issue, {"series__methodology_id": "x" * 65}, "TEXT_TOO_LONG"),
    (issue, {"series__unit_class": "x" * 9}, "TEXT_TOO_LONG"),
    *(
        (make, changes, "MESSAGE_MALFORMED")
        for make in (ready, refuse)
        for changes in ({"lock_hash": b""}, {"lock_hash": b"short"}, {"header__prev_hash": b""})
    ),
    (refuse, {"reasons__0__blocks": blocks((5, 1))}, "RANGE_REVERSED"),
    (refuse, {"reasons__0__retry_class": 99}, "ENUM_UNKNOWN"),
    (withdraw, {"lock_hash": b""}, "MESSAGE_MALFORMED"),
    (withdraw, {"header__transfer_id": b""}, "MESSAGE_MALFORMED"),
    (withdraw, {"header__source": ""}, "FIELD_MISSING"),
)


@pytest.mark.parametrize(
    ("make", "changes", "symbol"),
    MUTATIONS,
    ids=[f"{make.__name__}-{next(iter(changes))}-{at}" for at, (make, changes, _) in enumerate(MUTATIONS)],
)
def test_a_message_without_its_shape_is_refused_for_itself_and_changes_nothing(
    world: World, make: Callable[[World], Pair], changes: dict[str, Any], symbol: str
) -> None:
    message, companion = make(world)
    before = digest(world.database)
    assert submit(world, signed(world, spoil(message, **changes), companion)) == [symbol]
    assert digest(world.database) == before


DURABLE: Final[tuple[tuple[Callable[[World], Pair], dict[str, Any]], ...]] = (
    (lock, {"destination": "region/530000"}),
    (lock, {"destination": "region/110000"}),
    (lock, {"blocks": blocks((0, 1_000))}),
    (lock, {"blocks": blocks((900_000, 901_000))}),
    (lock, {"blocks": blocks((10_000, 11_000), series_id="310000:X:Y:2026:1")}),
    (lock, {"purpose": "compliance"}),
    (use, {"blocks": blocks((500, 1_500))}),
    (use, {"blocks": blocks((900_000, 901_000))}),
    (issue, {"block__start_serial": 50_000, "block__end_serial": 150_000}),
    (issue, {"series__region_code": "440300"}),
    (issue, {"series__batch_number": 2}),
    (issue, {"series__methodology_id": "OTHER"}),
    (issue, {"series__unit_class": "II"}),
    (issue, {"claim_id": "310000:instalment:1"}),
    (issue, {"claim_receipt_hash": bytes(32)}),
)


@pytest.mark.parametrize(
    ("make", "changes"),
    DURABLE,
    ids=[f"{make.__name__}-{next(iter(changes))}-{at}" for at, (make, changes) in enumerate(DURABLE)],
)
def test_a_well_formed_message_that_cannot_be_accepted_moves_no_unit_and_no_claim(
    world: World, make: Callable[[World], Pair], changes: dict[str, Any]
) -> None:
    with Line(world) as line, Line(world, world.shenzhen):
        message, companion = make(world)
        before = digest(world.database, LEDGER)
        line.region.send(offered=signed(world, spoil(message, **changes), companion))
        answers: Any = line.region.receipts if make is issue else line.region.decisions
        key = message.issue_id if make is issue else message.header.transfer_id
        line.region.wait(lambda: key in answers)
        assert answers[key].reasons
        assert all(reason.sentence_zh and reason.sentence_en for reason in answers[key].reasons)
        assert digest(world.database, LEDGER) == before


# -- frames -------------------------------------------------------------------------------------------------


class Line:
    """A session under test: says hello, sends one bad frame, and sees how it ends."""

    def __init__(self, world: World, region: PlayedRegion | None = None, **hello: Any) -> None:
        self.world = world
        self.known = region or world.shanghai
        self.region = PlayedRegion(
            world.running,
            self.known.party,
            **{
                "session_number": self.known.session_number,
                "received_number": self.known.received_number,
                "received_incarnation": self.known.received_incarnation,
                **hello,
            },
        )

    def __enter__(self) -> Self:
        self.region.connect()
        self.known.session_number = max(self.known.session_number, self.region.session_number)
        self.before = settled(self.world.database)
        return self

    def __exit__(self, *_: object) -> None:
        self.region.disconnect()
        self.known.received_number = self.region.received_number
        self.known.received_incarnation = self.region.received_incarnation or self.known.received_incarnation
        settled(self.world.database)

    def ends_with(self) -> DomainError:
        """Wait for the end of the session; the reason that the bridge gave."""
        self.region.wait(lambda: self.region.ended)
        errors = [error for kind, error in self.region.received if kind == "error"]
        assert errors, "the session ended without a reason"
        reason = from_rpc_error(errors[-1])
        require_told(reason)
        return reason


def final(world: World, **changes: Any) -> messages_pb2.SourceFinal:
    decision_hash = message_hash(payload_type_of(world.decision), world.decision.SerializeToString())
    made = messages_pb2.SourceFinal(
        header=world.shanghai.header(transfer_id=world.decision.header.transfer_id, source=SHANGHAI),
        decision_hash=decision_hash,
        state=messages_pb2.SOURCE_STATE_MOVED,
        journal_index=1,
    )
    spoilt: messages_pb2.SourceFinal = spoil(made, **changes)
    return spoilt


def numbered(
    world: World, first: int, messages: Sequence[Any], incarnation: int = 1, party: str = SHANGHAI
) -> sync_pb2.NumberedBatch:
    payloads = [message.SerializeToString() for message in messages]
    batch = sign_batch(world.network.signer(party), payload_type_of(messages[0]), payloads)
    return sync_pb2.NumberedBatch(incarnation=incarnation, first_number=first, batch=batch)


def forged(world: World, first: int) -> sync_pb2.NumberedBatch:
    made = numbered(world, first, [final(world)])
    _forge(made.batch)
    return made


FRAMES: Final[tuple[tuple[str, Callable[[World, int], dict[str, Any]], str], ...]] = (
    ("a gap", lambda w, n: {"numbered": numbered(w, n + 5, [final(w)])}, "SEQUENCE_GAP"),
    ("number zero", lambda w, _: {"numbered": numbered(w, 0, [final(w)])}, "FIELD_INVALID"),
    ("a negative number", lambda w, _: {"numbered": numbered(w, -3, [final(w)])}, "FIELD_INVALID"),
    ("the greatest number", lambda w, _: {"numbered": numbered(w, 2**63 - 1, [final(w)])}, "SEQUENCE_GAP"),
    ("a forged batch", lambda w, n: {"numbered": forged(w, n)}, "SIGNATURE_INVALID"),
    ("no batch", lambda _, n: {"numbered": sync_pb2.NumberedBatch(first_number=n)}, "BATCH_EMPTY"),
    (
        "an offer numbered",
        lambda w, n: {"numbered": numbered(w, n, [lock(w)[0]])},
        "PAYLOAD_TYPE_NOT_ALLOWED",
    ),
    (
        "another region's numbers",
        lambda w, n: {"numbered": numbered(w, n, [final(w)], party=SHENZHEN)},
        "PEER_NOT_SENDER",
    ),
    ("an empty frame", lambda *_: {}, "FIELD_INVALID"),
    ("a second Hello", lambda *_: {"hello": envelope_pb2.Envelope(payload=b"x")}, "FIELD_INVALID"),
)


def next_number(world: World) -> int:
    with world.database.reading() as connection:
        return inbox.received(connection, SHANGHAI, 1) + 1


@pytest.mark.parametrize(("name", "frame", "symbol"), FRAMES, ids=[name for name, _, _ in FRAMES])
def test_a_bad_frame_ends_the_session_with_its_reason_and_nothing_is_applied(
    world: World, name: str, frame: Callable[[World, int], dict[str, Any]], symbol: str
) -> None:
    with Line(world) as line:
        line.region.send(**frame(world, next_number(world)))
        reason = line.ends_with()
        assert reason.symbol == symbol, reason
        assert settled(world.database) == line.before


def test_an_acknowledgement_of_what_was_never_sent_is_answered_with_its_reason(world: World) -> None:
    with Line(world) as line:
        for incarnation in (1, 7):
            line.region.send(acknowledge=sync_pb2.Acknowledge(incarnation=incarnation, up_to_number=10**9))
        line.region.wait(lambda: len(line.region.refused) == 2)
        for refused in line.region.refused:
            assert [reason.reason for reason in refused.reasons] == ["SEQUENCE_GAP"]
            assert refused.reasons[0].sentence_zh
        assert settled(world.database) == line.before


@pytest.mark.parametrize(
    "changes",
    [
        {"header__audience": [SHENZHEN]},
        {"header__transfer_id": b""},
        {"decision_hash": b"short"},
        {"state": 0},
    ],
    ids=str,
)
def test_a_numbered_message_that_cannot_be_accepted_is_kept_answered_and_the_stream_goes_on(
    world: World, changes: dict[str, Any]
) -> None:
    with Line(world) as line:
        number = next_number(world)
        bad = final(world, **changes)
        bad_hash = message_hash(payload_type_of(bad), bad.SerializeToString())
        line.region.send(numbered=numbered(world, number, [bad]))
        nacks: list[messages_pb2.Nack] = []

        def answered() -> bool:
            nacks[:] = [
                message
                for _, message in line.region.received
                if isinstance(message, messages_pb2.Nack) and message.message_hash == bad_hash
            ]
            return bool(nacks)

        line.region.wait(answered)
        (reason,) = nacks[0].reasons
        assert reason.sentence_zh
        assert reason.sentence_en
        assert next_number(world) == number + 1
        assert not line.region.ended
        with world.database.reading() as connection:
            kept = [bytes(row.first_envelope) for row in connection.execute(sa.select(evidence))]
            cases = [row.subject for row in connection.execute(sa.select(conflict_case))]
        assert bad.SerializeToString() in [envelope_pb2.Envelope.FromString(one).payload for one in kept]
        assert f"{SHANGHAI}:{bad_hash.hex()}" in cases


@pytest.mark.parametrize(
    ("hello", "symbol"),
    [
        ({"session_number": -1}, "SESSION_FENCED"),
        ({"session_number": 0}, "SESSION_FENCED"),
        ({"incarnation": 0}, "INCARNATION_STALE"),
        ({"incarnation": -5}, "INCARNATION_STALE"),
    ],
)
def test_an_older_session_or_incarnation_is_refused_and_changes_nothing(
    world: World, hello: dict[str, Any], symbol: str
) -> None:
    before = settled(world.database)
    with Line(world, **hello) as line:
        assert line.ends_with().symbol == symbol
        assert settled(world.database) == before


def test_the_newest_session_fences_the_older_and_tells_it_so(world: World) -> None:
    with Line(world) as older, Line(world) as newer:
        assert older.ends_with().symbol == "SESSION_FENCED"
        assert not newer.region.ended


HELLOS: Final[tuple[tuple[str, Callable[[World, sync_pb2.Hello], envelope_pb2.Envelope], str], ...]] = (
    ("another region's key", lambda w, h: hello_of(w, h, SHENZHEN), "SENDER_MISMATCH"),
    ("another network", lambda w, h: hello_of(w, spoil(h, header__network_id="x")), "NETWORK_MISMATCH"),
    ("another audience", lambda w, h: hello_of(w, spoil(h, header__audience=None)), "AUDIENCE_MISMATCH"),
    ("another type", lambda w, _: offered_as_hello(w), "PAYLOAD_TYPE_NOT_ALLOWED"),
)


def hello_of(world: World, hello: sync_pb2.Hello, party: str = SHANGHAI) -> envelope_pb2.Envelope:
    return sign_envelope(world.network.signer(party), payload_type_of(hello), hello.SerializeToString())


def offered_as_hello(world: World) -> envelope_pb2.Envelope:
    made = withdraw(world)[0]
    return sign_envelope(world.network.signer(SHANGHAI), payload_type_of(made), made.SerializeToString())


@pytest.mark.parametrize(("name", "make", "symbol"), HELLOS, ids=[name for name, _, _ in HELLOS])
def test_a_bad_hello_opens_no_session(
    world: World,
    name: str,
    make: Callable[[World, sync_pb2.Hello], envelope_pb2.Envelope],
    symbol: str,
) -> None:
    assert name
    hello = sync_pb2.Hello(header=world.shanghai.header(), incarnation=1, session_number=10**9)
    before = settled(world.database)
    request = sync_pb2.ConnectRequest(hello=make(world, hello))
    with pytest.raises(DomainError) as caught:
        world.send("/tanqiao.api.bridge.v1.SyncService/Connect", request.SerializeToString(), SHANGHAI)
    assert require_told(caught.value) == symbol
    assert settled(world.database) == before


@pytest.mark.parametrize("make", [lock, use, issue], ids=lambda make: make.__name__)
def test_an_id_used_again_with_another_body_is_kept_as_evidence_and_moves_nothing(
    world: World, make: Callable[[World], Pair]
) -> None:
    first, companion = make(world)
    second = type(first).FromString(first.SerializeToString())
    if make is issue:
        first.claim_receipt_hash = bytes(32)
        second.claim_receipt_hash = bytes(range(32))
    else:
        far = blocks((900_000, 901_000))
        spoil(first, blocks=far)
        spoil(second, blocks=blocks((900_001, 901_001)))
    key = first.issue_id if make is issue else first.header.transfer_id
    with Line(world) as line, Line(world, world.shenzhen):
        before = digest(world.database, LEDGER)
        answers: Any = line.region.receipts if make is issue else line.region.decisions
        line.region.send(offered=signed(world, first, companion))
        line.region.wait(lambda: key in answers)
        line.region.send(offered=signed(world, second, companion))
        line.region.wait(lambda: bool(line.region.refused))
        (reason,) = line.region.refused[0].reasons
        assert reason.reason == "EQUIVOCATION"
        assert reason.sentence_zh
        assert reason.sentence_en
        assert digest(world.database, LEDGER) == before
