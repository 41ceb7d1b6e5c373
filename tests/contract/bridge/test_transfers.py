"""Transfers and uses at a real bridge on both databases.

The happy path, each refusal, replays, races, restarts.
"""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2, sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.overdue import CASES_OF_ONE_MAX, KIND, WatchFinals
from tanqiao_bridge.storage.tables import conflict_case, evidence, frozen, late_answer, message
from tests.contract.bridge.case_office import advance_days
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    issue_units,
    locations,
    run_bridge,
)

COMMIT = messages_pb2.OUTCOME_COMMIT
ABORT = messages_pb2.OUTCOME_ABORT


def reasons_of(decision: messages_pb2.Decision) -> list[str]:
    return [reason.reason for reason in decision.reasons]


def _is_acknowledged(region: PlayedRegion) -> bool:
    return any(frame.HasField("acknowledge") for frame in region.frames)


def require_clean(running: Running) -> None:
    report = check_database(running.bridge.database)
    assert report.clean, report.as_text()


def test_units_move_on_the_promises_of_both_sides_and_are_used_away_from_home(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    receipt = issue_units(running, shanghai)
    assert receipt.accepted, receipt
    assert locations(running) == [(0, 100_000, SHANGHAI, 1)]

    (transfer_id,) = shanghai.offer_locks([shanghai.lock(1_000, 3_000)])
    decision = shanghai.outcome(transfer_id)
    assert decision.outcome == COMMIT, decision
    assert shenzhen.outcome(transfer_id) == decision
    assert locations(running) == [
        (0, 1_000, SHANGHAI, 1),
        (1_000, 3_000, SHENZHEN, 1),
        (3_000, 100_000, SHANGHAI, 1),
    ]

    use = shenzhen.use(1_500, 2_000)
    shenzhen.offer([use])
    used = shenzhen.outcome(use.header.transfer_id)
    assert used.outcome == COMMIT
    assert used.ready_hash == bytes(32)
    assert (1_500, 2_000, SHENZHEN, 2) in locations(running)
    shanghai.wait(lambda: any(isinstance(m, messages_pb2.HomeNotice) for _, m in shanghai.received))
    require_clean(running)


def test_without_an_agreement_the_transfer_is_aborted_and_units_stay(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    decision = shanghai.outcome(transfer_id)
    assert decision.outcome == ABORT
    assert reasons_of(decision) == ["RECOGNITION_NOT_IN_FORCE"]
    assert locations(running) == [(0, 100_000, SHANGHAI, 1)]
    assert transfer_id not in shenzhen.prepares
    require_clean(running)


@pytest.mark.parametrize(
    ("changes", "purpose", "symbol"),
    [
        ({"programmes": ["OTHER"]}, "", "CLASS_NOT_RECOGNISED"),
        ({"unit_classes": ["II"]}, "", "CLASS_NOT_RECOGNISED"),
        ({}, "compliance", "PURPOSE_NOT_RECOGNISED"),
        ({"quantity_cap_kg": 999}, "", "CAP_REACHED"),
    ],
)
def test_an_agreement_refuses_what_it_does_not_cover(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    changes: dict[str, Any],
    purpose: str,
    symbol: str,
) -> None:
    assert shenzhen.session_number == 1
    running.recognise(**changes)
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000, purpose=purpose)])
    decision = shanghai.outcome(transfer_id)
    assert decision.outcome == ABORT
    assert symbol in reasons_of(decision)
    assert decision.reasons[0].sentence_zh
    assert decision.reasons[0].sentence_en
    require_clean(running)


def test_the_cap_of_an_agreement_is_counted_across_a_batch(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    assert shenzhen.session_number == 1
    running.recognise(quantity_cap_kg=2_500)
    assert issue_units(running, shanghai).accepted
    ids = shanghai.offer_locks([shanghai.lock(at, at + 1_000) for at in range(0, 5_000, 1_000)])
    outcomes = [shanghai.outcome(transfer_id).outcome for transfer_id in ids]
    assert outcomes.count(COMMIT) == 2
    require_clean(running)


def test_a_destination_refuses_with_its_reasons(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: "ADDRESS_UNKNOWN"
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    decision = shanghai.outcome(transfer_id)
    assert decision.outcome == ABORT
    assert reasons_of(decision) == ["ADDRESS_UNKNOWN"]
    require_clean(running)


def test_of_a_thousand_locks_on_one_block_exactly_one_commits(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    assert shenzhen.session_number == 1
    running.recognise()
    assert issue_units(running, shanghai).accepted
    ids = shanghai.offer_locks([shanghai.lock(0, 1_000) for _ in range(1_000)])
    outcomes = [shanghai.outcome(transfer_id).outcome for transfer_id in ids]
    assert outcomes.count(COMMIT) == 1
    aborted = next(d for d in map(shanghai.outcome, ids) if d.outcome == ABORT)
    assert reasons_of(aborted) == ["UNIT_NOT_AT_SOURCE"]
    assert aborted.reasons[0].blocks[0].end_serial == 1_000
    require_clean(running)


def test_a_lock_offered_again_has_one_effect_and_one_answer(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    assert shenzhen.session_number == 1
    running.recognise()
    assert issue_units(running, shanghai).accepted
    lock = shanghai.lock(0, 1_000)
    (transfer_id,) = shanghai.offer_locks([lock])
    first = shanghai.outcome(transfer_id)
    batch = shanghai.batch([lock[0]], [lock[1]])
    stub = sync_pb2_grpc.SyncServiceStub(running.channel(SHANGHAI))
    for _ in range(3):
        response = stub.SubmitMessages(sync_pb2.SubmitMessagesRequest(batch=batch), timeout=WAIT_SECONDS)
        assert [answer.payload for answer in response.answers] == [first.SerializeToString()]
    require_clean(running)


def test_two_promises_under_one_id_are_evidence_and_freeze_the_pair(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    assert shenzhen.session_number == 1
    running.recognise()
    assert issue_units(running, shanghai).accepted
    transfer_id = secrets.token_bytes(16)
    shanghai.offer_locks([shanghai.lock(0, 1_000, transfer_id=transfer_id)])
    assert shanghai.outcome(transfer_id).outcome == COMMIT
    shanghai.offer_locks([shanghai.lock(2_000, 3_000, transfer_id=transfer_id)])
    shanghai.wait(lambda: bool(shanghai.refused))
    assert shanghai.refused[0].reasons[0].reason == "EQUIVOCATION"
    (later,) = shanghai.offer_locks([shanghai.lock(4_000, 5_000)])
    decision = shanghai.outcome(later)
    assert decision.outcome == ABORT
    assert "FROZEN" in reasons_of(decision)
    require_clean(running)


def test_answers_about_a_source_that_is_no_region_are_refused_and_leave_no_trace(
    running: Running, shenzhen: PlayedRegion
) -> None:
    lock_hash, refuse = bytes(32), [values_pb2.Refusal(reason="ADDRESS_UNKNOWN")]
    wanted = 0
    for source in (SHANGHAI * 50, "bridge", "region/\x00", "../region/310000", "region/999999"):
        header = shenzhen.header(
            transfer_id=secrets.token_bytes(16), source=source, prev_hash=bytes(range(32))
        )
        day = date_message("2026-03-02")
        shenzhen.offer([messages_pb2.Refuse(header=header, lock_hash=lock_hash, reasons=refuse)])
        shenzhen.offer([messages_pb2.Ready(header=header, lock_hash=lock_hash, legal_date=day)])
        wanted += 2
    shenzhen.wait(lambda: len(shenzhen.refused) == wanted)
    for refused in shenzhen.refused:
        assert refused.reasons[0].reason in ("FIELD_INVALID", "REGION_UNKNOWN")
        field, region = (dict(refused.reasons[0].metadata).get(name) for name in ("field", "region"))
        assert (field, region) in (("header.source", None), (None, "region/999999"))
    with running.bridge.database.reading() as connection:
        for table in (late_answer, evidence, frozen):
            assert connection.execute(sa.select(table)).all() == []
        kept = sa.select(message).where(message.c.transfer_id != b"")
        assert connection.execute(kept).all() == []


def test_a_destination_that_does_not_answer_is_aborted_at_the_deadline(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    running = run_bridge(network, bridge_database.url, bridge_database.owner_url, decide_by_seconds=1)
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    try:
        running.recognise()
        assert issue_units(running, shanghai).accepted
        (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
        decision = shanghai.outcome(transfer_id)
        assert decision.outcome == ABORT
        assert reasons_of(decision) == ["DECIDE_BY_PASSED"]
    finally:
        shanghai.disconnect()
        running.bridge.stop()


def test_the_holder_may_withdraw_before_the_decision(running: Running, shanghai: PlayedRegion) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    lock = shanghai.lock(0, 1_000)
    (transfer_id,) = shanghai.offer_locks([lock])
    withdraw = messages_pb2.Withdraw(
        header=shanghai.header(transfer_id=transfer_id, source=SHANGHAI),
        lock_hash=message_hash(payload_type_of(lock[0]), lock[0].SerializeToString()),
    )
    shanghai.offer([withdraw])
    assert reasons_of(shanghai.outcome(transfer_id)) == ["WITHDRAWN"]


def test_a_bridge_that_forgot_gets_its_prepare_back_from_the_destination(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    running = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    shenzhen = PlayedRegion(running, SHENZHEN, answers=lambda _prepare: None).connect()
    running.recognise()
    assert issue_units(running, shanghai).accepted
    lock = shanghai.lock(0, 1_000)
    (transfer_id,) = shanghai.offer_locks([lock])
    shenzhen.wait(lambda: transfer_id in shenzhen.prepares)
    prepare_envelope, openings = shenzhen.prepares[transfer_id]
    shanghai.disconnect()
    shenzhen.disconnect()
    running.bridge.stop()

    again = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    shanghai.running = shenzhen.running = again
    try:
        shanghai.connect()
        shenzhen.connect()
        prepare = messages_pb2.Prepare.FromString(prepare_envelope.payload)
        ready = shenzhen.answer(
            prepare, message_hash(prepare_envelope.payload_type, prepare_envelope.payload), "ready"
        )
        shenzhen.offer([ready])
        shenzhen.wait(lambda: any(frame.HasField("need_prepare") for frame in shenzhen.frames))

        def return_with(answer: messages_pb2.Ready) -> None:
            shenzhen.send(
                returned_prepare=sync_pb2.ReturnedPrepare(
                    prepare=prepare_envelope,
                    answer=sign_envelope(
                        network.signer(SHENZHEN), payload_type_of(answer), answer.SerializeToString()
                    ),
                    openings=messages_pb2.Openings.FromString(openings),
                )
            )

        for fields in ({"source": SHENZHEN}, {"transfer_id": secrets.token_bytes(16)}):
            elsewhere = messages_pb2.Ready()
            elsewhere.CopyFrom(ready)
            elsewhere.header.MergeFrom(envelope_pb2.Header(**fields))
            known = len(shenzhen.refused)
            return_with(elsewhere)
            shenzhen.wait(lambda known=known: len(shenzhen.refused) > known)  # type: ignore[misc]
            assert shenzhen.refused[-1].reasons[0].reason == "MESSAGE_NOT_CURRENT"
        assert transfer_id not in shenzhen.decisions
        return_with(ready)
        assert shenzhen.outcome(transfer_id).outcome == COMMIT
        assert shanghai.outcome(transfer_id).outcome == COMMIT
        require_clean(again)
    finally:
        shanghai.disconnect()
        shenzhen.disconnect()
        again.bridge.stop()


def test_a_receipt_that_does_not_come_is_an_alarm_that_ends_when_it_comes(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted

    def alarms() -> list[tuple[str, str]]:
        """Let the bridge look; the open alarms: region and transfer."""
        running.bridge.writer.submit(WatchFinals()).result(WAIT_SECONDS)
        with running.bridge.database.reading() as connection:
            columns = (conflict_case.c.details, conflict_case.c.blocking)
            open_ones = sa.select(*columns).where(
                conflict_case.c.kind == KIND, conflict_case.c.state == "open"
            )
            rows = connection.execute(open_ones.order_by(conflict_case.c.case_id)).all()
        assert not any(row.blocking for row in rows)
        told = [json.loads(row.details) for row in rows]
        assert all(one["reason"] == "FINAL_OVERDUE" and one["sentence_zh"] for one in told)
        return [(one["party"], one["transfer_id"]) for one in told]

    (moved,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    decision = shanghai.outcome(moved)
    use = shanghai.use(5_000, 5_100)
    shanghai.offer([use])
    shanghai.outcome(use.header.transfer_id)
    assert alarms() == [], "nobody is late yet"
    advance_days(running, 2)
    assert alarms() == [
        (SHANGHAI, moved.hex()),
        (SHENZHEN, moved.hex()),
        (SHANGHAI, use.header.transfer_id.hex()),  # which has no destination
    ]
    assert len(alarms()) == 3, "who was named is not named again"
    decision_hash = message_hash(payload_type_of(decision), decision.SerializeToString())
    shenzhen.number(
        [
            messages_pb2.DestFinal(
                header=shenzhen.header(transfer_id=moved, source=SHANGHAI),
                decision_hash=decision_hash,
                state=messages_pb2.DESTINATION_STATE_CREDITED,
                journal_index=3,
            )
        ]
    )
    shenzhen.wait(partial(_is_acknowledged, shenzhen))
    assert alarms() == [(SHANGHAI, moved.hex()), (SHANGHAI, use.header.transfer_id.hex())]
    # One who owes very many is named with the first of them, and nobody else is kept waiting for it.
    shanghai.offer_locks([shanghai.lock(at, at + 10) for at in range(10_000, 10_300, 10)])
    last = shanghai.offer_locks([shanghai.lock(20_000, 20_010)])[0]
    shanghai.outcome(last)
    advance_days(running, 4)
    named = [region for region, _ in alarms()]
    assert (named.count(SHANGHAI), named.count(SHENZHEN)) == (CASES_OF_ONE_MAX, CASES_OF_ONE_MAX)
    require_clean(running)


def test_receipts_close_a_transfer_and_numbers_are_taken_once(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    decision = shanghai.outcome(transfer_id)
    shenzhen.outcome(transfer_id)
    decision_hash = message_hash(payload_type_of(decision), decision.SerializeToString())
    shanghai.number(
        [
            messages_pb2.SourceFinal(
                header=shanghai.header(transfer_id=transfer_id, source=SHANGHAI),
                decision_hash=decision_hash,
                state=messages_pb2.SOURCE_STATE_MOVED,
                journal_index=7,
            )
        ]
    )
    shenzhen.number(
        [
            messages_pb2.DestFinal(
                header=shenzhen.header(transfer_id=transfer_id, source=SHANGHAI),
                decision_hash=decision_hash,
                state=messages_pb2.DESTINATION_STATE_CREDITED,
                journal_index=3,
            )
        ]
    )
    for region in (shanghai, shenzhen):
        region.wait(partial(_is_acknowledged, region))
    stub = directory_pb2_grpc.DecisionServiceStub(running.channel(YUNNAN))
    outcome = stub.GetOutcome(
        directory_pb2.GetOutcomeRequest(source=SHANGHAI, transfer_id=transfer_id), timeout=WAIT_SECONDS
    )
    assert outcome.outcome == directory_pb2.TRANSFER_OUTCOME_COMMITTED
    assert outcome.source_final
    assert outcome.destination_final
    assert outcome.finality == values_pb2.FINALITY_COMMIT
    require_clean(running)


def test_an_unknown_outcome_is_unknown_and_writes_nothing(running: Running) -> None:
    stub = directory_pb2_grpc.DecisionServiceStub(running.channel(YUNNAN))
    before = stub.GetLogStatus(directory_pb2.GetLogStatusRequest(), timeout=WAIT_SECONDS).log_size
    for _ in range(50):
        outcome = stub.GetOutcome(
            directory_pb2.GetOutcomeRequest(source=SHANGHAI, transfer_id=secrets.token_bytes(16)),
            timeout=WAIT_SECONDS,
        )
        assert outcome.outcome == directory_pb2.TRANSFER_OUTCOME_UNKNOWN
    after = stub.GetLogStatus(directory_pb2.GetLogStatusRequest(), timeout=WAIT_SECONDS).log_size
    assert after == before


def test_a_batch_of_a_thousand_transfers_moves_a_thousand_pieces(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    ids = shanghai.offer_locks([shanghai.lock(at, at + 10) for at in range(0, 10_000, 10)])
    shanghai.wait(lambda: all(transfer_id in shanghai.decisions for transfer_id in ids))
    assert all(shanghai.decisions[transfer_id].outcome == COMMIT for transfer_id in ids)
    shenzhen.wait(lambda: all(transfer_id in shenzhen.decisions for transfer_id in ids))
    assert locations(running) == [(0, 10_000, SHENZHEN, 1), (10_000, 100_000, SHANGHAI, 1)]
    require_clean(running)


def test_serials_are_issued_once(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    refused = issue_units(
        running,
        shanghai,
        start=50_000,
        claim_id="310000:instalment:2",
        period=("2026-02-01", "2026-03-01"),
    )
    assert not refused.accepted
    assert [reason.reason for reason in refused.reasons] == ["SERIAL_ALREADY_ISSUED"]
    assert locations(running) == [(0, 100_000, SHANGHAI, 1)]
    require_clean(running)


def test_the_trace_of_a_unit_shows_every_signed_step(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    shenzhen.outcome(transfer_id)
    stub = directory_pb2_grpc.LocationServiceStub(running.channel(YUNNAN))
    trace = stub.TraceUnits(
        directory_pb2.TraceUnitsRequest(
            block=values_pb2.UnitBlock(series_id=SERIES, start_serial=500, end_serial=600)
        ),
        timeout=WAIT_SECONDS,
    )
    assert [step.kind for step in trace.steps] == ["ISSUE", "TRANSFER"]
    names = [envelope.payload_type.split(".")[-2] for envelope in trace.steps[1].envelopes]
    assert [envelope.payload_type for envelope in trace.steps[1].envelopes][:3] == [
        "application/vnd.tanqiao.lock-assertion.v1+protobuf",
        "application/vnd.tanqiao.ready.v1+protobuf",
        "application/vnd.tanqiao.decision.v1+protobuf",
    ], names
    assert trace.series.region_code == "310000"
    assert [location.region for location in trace.locations] == [SHENZHEN]
