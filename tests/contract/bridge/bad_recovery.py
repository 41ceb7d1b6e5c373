"""Bad requests of recovery and reconciliation, as data."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2, reconcile_pb2, recovery_pb2
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.harness import SERIES
from tests.contract.bridge.unchanged import API, UNKNOWN_FIELD, World

RECOVERY: Final = f"{API}RecoveryService/"


def begun(**changes: Any) -> Build:
    """Begin a reconciliation with a statement in which something is wrong."""
    values = {"run_id": bytes(16), "root": bytes(32), "depth": reconcile_pb2.RECONCILE_DEPTH_FULL, **changes}

    def build(world: World) -> Message:
        statement = reconcile_pb2.ReconcileStatement(**values)
        return reconcile_pb2.BeginReconciliationRequest(statement=world.network.envelope(statement, SHANGHAI))

    return build


def undecided(field: str, message: Message, party: str) -> Build:
    """Report one promise under a field of Papers, signed by a party."""

    def build(world: World) -> Message:
        papers = recovery_pb2.Papers()
        getattr(papers, field).CopyFrom(world.network.envelope(message, party))
        return recovery_pb2.SubmitReportRequest(bridge_epoch=1, undecided=[papers])

    return build


RECONCILE: Final = f"{API}ReconcileService/"
_RUN: Final = bytes(16)
RECOVERY_AND_RECONCILIATION: Final = (
    Case(f"{RECOVERY}ListOpenPromises", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(f"{RECOVERY}GetRecoveryStatus", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(
        f"{RECOVERY}SubmitReport",
        "an epoch that is not the bridge's",
        "INCARNATION_STALE",
        plain(recovery_pb2.SubmitReportRequest(bridge_epoch=7, complete=True)),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "more items than a page has",
        "BATCH_TOO_LARGE",
        plain(recovery_pb2.SubmitReportRequest(bridge_epoch=1, items=[recovery_pb2.ReportItem()] * 1_001)),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "less than nothing has taken effect",
        "FIELD_INVALID",
        plain(recovery_pb2.SubmitReportRequest(bridge_epoch=1, complete=True, applied_size=-1)),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "a message that is not the bridge's own",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        lambda world: recovery_pb2.SubmitReportRequest(
            bridge_epoch=1,
            items=[
                recovery_pb2.ReportItem(
                    message=world.network.envelope(messages_pb2.Withdraw(lock_hash=bytes(32)), SHANGHAI)
                )
            ],
        ),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "more promises than a page has",
        "BATCH_TOO_LARGE",
        plain(recovery_pb2.SubmitReportRequest(bridge_epoch=1, undecided=[recovery_pb2.Papers()] * 1_001)),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "the promise of another region",
        "PEER_NOT_SENDER",
        undecided("ready", messages_pb2.Ready(), SHENZHEN),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "a lock in the place of a Ready",
        "FIELD_INVALID",
        undecided("ready", messages_pb2.LockAssertion(), SHANGHAI),
    ),
    Case(
        f"{RECOVERY}SubmitReport",
        "a wish is no promise",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        undecided("lock", messages_pb2.Withdraw(), SHANGHAI),
    ),
    Case(f"{RECONCILE}BeginReconciliation", "no run", "FIELD_MISSING", begun(run_id=b"")),
    Case(f"{RECONCILE}BeginReconciliation", "no depth", "FIELD_MISSING", begun(depth=0)),
    Case(f"{RECONCILE}BeginReconciliation", "a negative sum", "FIELD_INVALID", begun(quantity_kg=-1)),
    Case(
        f"{RECONCILE}BeginReconciliation",
        "a cut beyond the log",
        "SNAPSHOT_AHEAD",
        begun(applied_index=1 << 40),
    ),
    Case(
        f"{RECONCILE}CompareSeries",
        "a run that is not there",
        "MESSAGE_NOT_CURRENT",
        plain(reconcile_pb2.CompareSeriesRequest(run_id=_RUN)),
    ),
    Case(
        f"{RECONCILE}CompareSeries",
        "more series than a page has",
        "BATCH_TOO_LARGE",
        plain(
            reconcile_pb2.CompareSeriesRequest(
                run_id=_RUN, series=[reconcile_pb2.SeriesSummary(series_id="s")] * 1_001
            )
        ),
    ),
    Case(
        f"{RECONCILE}CompareRanges",
        "a range that is reversed",
        "RANGE_REVERSED",
        plain(
            reconcile_pb2.CompareRangesRequest(
                run_id=_RUN,
                series_id=SERIES,
                ranges=[reconcile_pb2.RangeFingerprint(start_serial=5, end_serial=5)],
            )
        ),
    ),
    Case(
        f"{RECONCILE}CompareBlocks",
        "a state that is none",
        "FIELD_INVALID",
        plain(
            reconcile_pb2.CompareBlocksRequest(
                run_id=_RUN,
                series_id=SERIES,
                end_serial=10,
                blocks=[reconcile_pb2.BlockState(start_serial=0, end_serial=5, state="SOLD")],
            )
        ),
    ),
    Case(
        f"{RECONCILE}CompareBlocks",
        "blocks that overlap",
        "RANGE_REVERSED",
        plain(
            reconcile_pb2.CompareBlocksRequest(
                run_id=_RUN,
                series_id=SERIES,
                end_serial=10,
                blocks=[
                    reconcile_pb2.BlockState(start_serial=0, end_serial=5, state="HELD"),
                    reconcile_pb2.BlockState(start_serial=4, end_serial=9, state="HELD"),
                ],
            )
        ),
    ),
    Case(
        f"{RECONCILE}EndReconciliation",
        "a run that is not there",
        "MESSAGE_NOT_CURRENT",
        plain(reconcile_pb2.EndReconciliationRequest(run_id=_RUN)),
    ),
    Case(
        f"{RECONCILE}StartReconciliation",
        "a region that is none",
        "REGION_UNKNOWN",
        plain(
            reconcile_pb2.StartReconciliationRequest(
                region="region/999999", depth=reconcile_pb2.RECONCILE_DEPTH_FULL
            )
        ),
    ),
    Case(
        f"{RECONCILE}StartReconciliation",
        "no depth",
        "FIELD_MISSING",
        plain(reconcile_pb2.StartReconciliationRequest()),
    ),
    Case(f"{RECONCILE}ListReconciliations", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
)
