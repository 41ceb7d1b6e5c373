"""Bad frames on the line of a region: each ends the session, or is answered, with its reason.

What a region numbered and nobody can accept is kept as evidence, with a Nack and a case (PROTOCOL section 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao_bridge.storage.tables import conflict_case, evidence, inbox
from tests.contract.bridge.bad_messages import (
    LEDGER,
    Line,
    Pair,
    blocks,
    forge_signature,
    issue,
    lock,
    require_told,
    signed,
    use,
    withdraw,
)
from tests.contract.bridge.unchanged import (
    World,
    digest,
    settled,
    spoil,
    world,
)

__all__ = ["world"]


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
    forge_signature(made.batch)
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
        assert settled(world.running) == line.before


def test_an_acknowledgement_of_what_was_never_sent_is_answered_with_its_reason(world: World) -> None:
    with Line(world) as line:
        for incarnation in (1, 7):
            line.region.send(acknowledge=sync_pb2.Acknowledge(incarnation=incarnation, up_to_number=10**9))
        line.region.wait(lambda: len(line.region.refused) == 2)
        for refused in line.region.refused:
            assert [reason.reason for reason in refused.reasons] == ["SEQUENCE_GAP"]
            assert refused.reasons[0].sentence_zh
        assert settled(world.running) == line.before


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


def test_a_nack_of_a_region_is_kept_and_opens_one_case(world: World) -> None:
    with Line(world) as line:
        number = next_number(world)
        refused = b"n" * 32
        nack = messages_pb2.Nack(
            header=world.shanghai.header(transfer_id=b"t" * 16, source=SHANGHAI, prev_hash=refused),
            message_hash=refused,
            reasons=[values_pb2.Refusal(reason="PROOF_INVALID")],
        )
        for at in range(2):  # the same again is the same case
            line.region.send(numbered=numbered(world, number + at, [nack]))

        def is_taken() -> bool:
            return next_number(world) == number + 2

        line.region.wait(is_taken)
        assert not line.region.ended
        with world.database.reading() as connection:
            kept = [bytes(row.first_envelope) for row in connection.execute(sa.select(evidence))]
            (details,) = connection.execute(
                sa.select(conflict_case.c.details).where(
                    conflict_case.c.subject == f"{SHANGHAI}:{refused.hex()}"
                )
            ).scalars()
        assert nack.SerializeToString() in [envelope_pb2.Envelope.FromString(one).payload for one in kept]
        assert json.loads(details) == {
            "party": SHANGHAI,
            "reasons": ["PROOF_INVALID"],
            "transfer": f"{SHANGHAI}:{(b't' * 16).hex()}",
        }


@pytest.mark.parametrize(
    "changes",
    [{"message_hash": b"short"}, {"reasons": [values_pb2.Refusal(reason="R" * 20_000)]}],
    ids=["hash", "size"],
)
def test_a_nack_beyond_its_bounds_is_answered_and_opens_no_case_of_its_own(
    world: World, changes: dict[str, Any]
) -> None:
    with Line(world) as line:
        number = next_number(world)
        fields = {"message_hash": b"m" * 32, "reasons": [values_pb2.Refusal(reason="PROOF_INVALID")]}
        header = world.shanghai.header(transfer_id=b"t" * 16, source=SHANGHAI, prev_hash=b"m" * 32)
        nack = messages_pb2.Nack(header=header, **(fields | changes))
        named = message_hash(payload_type_of(nack), nack.SerializeToString())
        line.region.send(numbered=numbered(world, number, [nack]))

        def answers() -> list[messages_pb2.Nack]:
            received = [message for _, message in line.region.received]
            return [
                one for one in received if isinstance(one, messages_pb2.Nack) and one.message_hash == named
            ]

        line.region.wait(lambda: bool(answers()))
        assert [reason.reason for reason in answers()[0].reasons] == ["FIELD_INVALID"]
        assert not line.region.ended
        with world.database.reading() as connection:
            subjects = connection.execute(sa.select(conflict_case.c.subject)).scalars().all()
        assert f"{SHANGHAI}:{nack.message_hash.hex()}" not in subjects


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
    before = settled(world.running)
    with Line(world, **hello) as line:
        assert line.ends_with().symbol == symbol
        assert settled(world.running) == before


def test_the_newest_session_fences_the_older_and_tells_it_so(world: World) -> None:
    with Line(world) as older, Line(world) as newer:
        assert older.ends_with().symbol == "SESSION_FENCED"
        assert not newer.region.ended


HELLOS: Final[tuple[tuple[str, Callable[[World, sync_pb2.Hello], envelope_pb2.Envelope], str], ...]] = (
    ("another region's key", lambda w, h: hello_of(w, h, SHENZHEN), "SENDER_MISMATCH"),
    ("another network", lambda w, h: hello_of(w, spoil(h, header__network_id="x")), "NETWORK_MISMATCH"),
    ("another audience", lambda w, h: hello_of(w, spoil(h, header__audience=None)), "AUDIENCE_MISMATCH"),
    ("no version", lambda w, h: hello_of(w, spoil(h, message_versions=None)), "VERSION_NOT_SUPPORTED"),
    (
        "versions to come",
        lambda w, h: hello_of(w, spoil(h, message_versions=[2, 3])),
        "VERSION_NOT_SUPPORTED",
    ),
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
    hello = sync_pb2.Hello(
        header=world.shanghai.header(), incarnation=1, session_number=10**9, message_versions=[1]
    )
    before = settled(world.running)
    request = sync_pb2.ConnectRequest(hello=make(world, hello))
    with pytest.raises(DomainError) as caught:
        world.send("/tanqiao.api.bridge.v1.SyncService/Connect", request.SerializeToString(), SHANGHAI)
    assert require_told(caught.value) == symbol
    assert settled(world.running) == before


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
