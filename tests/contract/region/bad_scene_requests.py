"""Bad requests about reduction scenes and experience values: data for a suite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import scenes_pb2
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period, wire_timestamp
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tests.contract.region.bad_requests import BIG, Case, put, same
from tests.contract.region.scene_requests import EXCHANGE, EXPERIENCE, SCENES, statement
from tests.contract.region.world import PROJECT

Kind = scenes_pb2.SceneDecisionKind
BATCH: Final = envelope_pb2.BatchProof(index=0, size=1)
LATER: Final = wire_timestamp(datetime(2026, 12, 1, tzinfo=UTC))
LATER_END: Final = wire_timestamp(datetime(2026, 12, 1, 1, tzinfo=UTC))
LONG_AGO: Final = wire_timestamp(datetime(2020, 1, 1, tzinfo=UTC))
LONG_AGO_END: Final = wire_timestamp(datetime(2020, 1, 1, 1, tzinfo=UTC))


def _twice(request: Any) -> Any:
    request.trips.append(request.trips[0])
    return request


def scenes() -> Iterator[Case]:
    """Bad requests about scenes."""
    for name in ("SignSceneDecision", "DecideScene"):
        method = SCENES + name
        yield Case(method, "no decision", "FIELD_MISSING", put(decision=None))
        yield Case(method, "no kind", "FIELD_MISSING", put(decision__kind=0))
        yield Case(method, "no scene", "FIELD_MISSING", put(decision__project_id=""))
        yield Case(method, "an unknown scene", "NOT_FOUND", put(decision__project_id="NOBODY"))
        yield Case(method, "a project", "NOT_FOUND", put(decision__project_id=PROJECT))
    sign = SCENES + "SignSceneDecision"
    yield Case(
        sign, "not open in this state", "STATE_NOT_ALLOWED", put(decision__kind=Kind.Value(_KIND + "PUBLISH"))
    )
    yield Case(sign, "no reason", "FIELD_MISSING", put(decision__kind=Kind.Value(_KIND + "END")))
    yield Case(sign, "too many assessors", "BATCH_TOO_LARGE", put(decision__assessors=["E"] * 17))
    yield Case(sign, "an over-long opinion", "TEXT_TOO_LONG", put(decision__opinion="字" * 2001))
    yield Case(sign, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.bureau", article=True)
    yield from _statements(sign)
    decide = SCENES + "DecideScene"
    yield Case(decide, "an assessment", "FIELD_INVALID", put(decision__kind=Kind.Value(_KIND + "ASSESS")))
    yield Case(decide, "no period", "FIELD_MISSING", put(decision__period=None))
    yield Case(
        decide,
        "a period outside of the claim",
        "PERIOD_OUTSIDE_CLAIM",
        put(decision__period=wire_period(Period.parse("2020"))),
    )
    yield Case(decide, "not published yet", "STATE_NOT_ALLOWED", same)
    validate = SCENES + "ValidateSceneData"
    yield Case(validate, "no record", "FIELD_MISSING", put(test_record=None))
    yield Case(validate, "a record without a digest", "FIELD_MISSING", put(test_record__digest=b""))
    yield Case(validate, "half a digest", "FIELD_INVALID", put(test_record__digest=b"x"))
    yield Case(validate, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.exchange", article=True)
    yield Case(validate, "not published yet", "STATE_NOT_ALLOWED", same)
    connect = SCENES + "ConnectScene"
    yield Case(connect, "not validated yet", "SCENE_DATA_NOT_VALIDATED", same, article=True)
    yield Case(connect, "an over-long name", "TEXT_TOO_LONG", put(information_system="字" * 300))
    yield Case(connect, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.exchange", article=True)
    for method in (validate, connect):
        yield Case(method, "no scene", "FIELD_MISSING", put(project_id=""))
        yield Case(method, "an unknown scene", "NOT_FOUND", put(project_id="NOBODY"))


def _statements(sign: str) -> Iterator[Case]:
    """What a signed decision may be wrong about."""
    yield Case(sign, "nobody's signature", "FIELD_MISSING", put(statement=None))
    yield Case(sign, "no signature", "SIGNATURE_MISSING", put(statement__signatures=[]))
    yield Case(sign, "no type", "MESSAGE_MALFORMED", put(statement__payload_type=""))
    yield Case(sign, "another message", "PAYLOAD_TYPE_NOT_ALLOWED", _retyped)
    yield Case(sign, "other bytes", "SIGNATURE_INVALID", put(statement__payload=b"\x0a\x00"))
    yield Case(sign, "an unknown key", "KEY_UNKNOWN", put(statement__signatures__key_id=bytes(16)))
    yield Case(sign, "in a batch", "MESSAGE_MALFORMED", put(statement__batch_proof=BATCH))
    for title, symbol, changes in (
        ("another object", "DECISION_DIFFERS", {"object_id": "ANOTHER"}),
        ("another kind", "DECISION_DIFFERS", {"kind": 2, "content": b"\x10\x04"}),
        ("an unknown kind", "ENUM_UNKNOWN", {"kind": 99}),
        ("another version", "DECISION_DIFFERS", {"decision_digest": bytes(32)}),
        ("no content", "MESSAGE_MALFORMED", {"content": b"\xff"}),
        ("a foreign field", "UNKNOWN_FIELD", {"content": b"\xfa\x07\x01x"}),
        ("over already", "DECISION_EXPIRED", {"expire_time": LONG_AGO}),
        ("no moment", "FIELD_INVALID", {"expire_time": Timestamp(nanos=-1)}),
    ):
        yield Case(sign, title, symbol, put(statement=_changed(changes)))


def _changed(changes: dict[str, Any]) -> Any:
    return lambda world: statement(world, **changes)


def _retyped(world: Any, request: Any) -> Any:
    """A freeze, which an officer has no say in."""
    signer = world.shanghai.network.network.officer(EXCHANGE).signer
    request.statement.CopyFrom(sign_envelope(signer, payload_type_of(messages_pb2.Freeze), b"\x0a\x00"))
    return request


def trips() -> Iterator[Case]:
    """Bad trips."""
    submit = SCENES + "SubmitTrips"
    yield Case(submit, "no trips", "BATCH_EMPTY", put(trips=[]))
    yield Case(submit, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(submit, "an unknown project", "NOT_FOUND", put(project_id="NOBODY"))
    yield Case(submit, "a methodology without trips", "FIELD_INVALID", put(project_id=PROJECT))
    yield Case(submit, "no order", "FIELD_MISSING", put(trips__order_id=""))
    yield Case(submit, "no token", "FIELD_MISSING", put(trips__user_token=""))
    yield Case(submit, "no mode", "FIELD_MISSING", put(trips__mode=""))
    yield Case(submit, "no distance", "FIELD_INVALID", put(trips__distance_m=0))
    yield Case(submit, "a distance in another unit", "FIELD_INVALID", put(trips__distance_m=BIG))
    yield Case(submit, "no passenger", "FIELD_INVALID", put(trips__person_count=0))
    yield Case(submit, "no start", "FIELD_MISSING", put(trips__start_time=None))
    yield Case(
        submit, "a moment that there is not", "FIELD_INVALID", put(trips__start_time=Timestamp(nanos=-1))
    )
    yield Case(submit, "an end before the start", "RANGE_REVERSED", put(trips__end_time=LONG_AGO))
    yield Case(
        submit, "tomorrow's trip", "DATE_NOT_ALLOWED", put(trips__start_time=LATER, trips__end_time=LATER_END)
    )
    yield Case(
        submit,
        "before the crediting period",
        "PERIOD_OUTSIDE_CLAIM",
        put(trips__start_time=LONG_AGO, trips__end_time=LONG_AGO_END),
    )
    yield Case(submit, "a feed that is not connected", "SCENE_DATA_NOT_VALIDATED", same, article=True)
    yield Case(submit, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.exchange", article=True)


def experience() -> Iterator[Case]:
    """Bad requests about experience values."""
    record = EXPERIENCE + "RecordExperience"
    yield Case(record, "no scene", "FIELD_MISSING", put(scene_id=""))
    yield Case(record, "an unknown scene", "NOT_FOUND", put(scene_id="NOBODY"))
    yield Case(record, "no records", "BATCH_EMPTY", put(records=[]))
    yield Case(record, "no number", "FIELD_MISSING", put(records__record_id=""))
    yield Case(record, "no account", "FIELD_MISSING", put(records__account_id=""))
    yield Case(record, "nothing", "FIELD_INVALID", put(records__value=0))
    yield Case(record, "more than there can be", "FIELD_INVALID", put(records__value=BIG))
    yield Case(
        record,
        "a correction without a reason",
        "REASON_REQUIRED",
        put(records__value=-1, correction_reason=""),
    )
    yield Case(record, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.bureau", article=True)
    yield Case(record, "a scene that is not in force", "STATE_NOT_ALLOWED", same)
    yield Case(EXPERIENCE + "GetExperience", "another's account", "ACCOUNT_UNKNOWN", same)
    yield Case(EXPERIENCE + "GetExperience", "no account", "FIELD_MISSING", put(account_id=""))
    convert = EXPERIENCE + "ConvertExperience"
    yield Case(convert, "another's account", "ACCOUNT_UNKNOWN", same)
    yield Case(convert, "no account", "FIELD_MISSING", put(account_id=""))
    yield Case(convert, "into nothing", "FIELD_MISSING", put(target=0))


_KIND: Final = "SCENE_DECISION_KIND_"
