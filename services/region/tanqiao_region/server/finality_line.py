"""Asks the bridge for the FinalityBundles of what is pending here, checks them, and makes them final.

What is pending is the outbox: nothing is asked for while nothing waits, and what was missed is asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import Policy, verify_checkpoint
from tanqiao.witnessing.follower import Offered
from tanqiao_region.application.contradictions import keep_other_decision
from tanqiao_region.application.finality import check_bundle, keys_of, make_final
from tanqiao_region.application.group import Group
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.pending import Pending

POLL_SECONDS: Final = 0.25
REFUSED_SECONDS: Final = 5.0
BUNDLES_PER_CALL: Final = 500
STOP_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger("tanqiao.region.finality")


class FinalitySource(Protocol):
    """Port: the bridge's `LogService`."""

    def cosigned(self) -> Offered:
        """Give the newest checkpoint with a quorum."""
        ...

    def bundles(self, keys: Sequence[TransferKey]) -> Sequence[log_pb2.FinalityBundle]:
        """Give the bundles of those transfers that are final."""
        ...

    def decision_of(self, key: TransferKey) -> log_pb2.FinalityBundle:
        """Give the bundle of one transfer with the messages that its leaf names."""
        ...


class FinalityLine:
    """Makes pending decisions final.

    Args:
        pending: what waits.
        orders: the node's writer.
        source: the bridge.
        policy: gives the policy under which the bridge's log is final.
        watch: holds a final checkpoint against what this node's own witness has replayed; raises when it
            is of another tree.
    """

    def __init__(
        self,
        pending: Pending,
        orders: Orders,
        source: FinalitySource,
        policy: Callable[[], Policy],
        watch: Callable[[bytes], None] | None = None,
    ) -> None:
        self._pending = pending
        self._orders = orders
        self._source = source
        self._policy = policy
        self._watch = watch
        self._watched = b""
        self._accused: set[TransferKey] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask in a thread of its own until `stop`; without witnesses there is nothing to ask for."""
        if self._pending.quorum:
            self._thread = threading.Thread(target=self._run, name="finality", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        pause, told = POLL_SECONDS, ""
        while not self._stopping.wait(pause):
            pause = POLL_SECONDS
            try:
                while self._is_wanted() and not self._stopping.is_set() and self.step():
                    told = ""
            except TlogError as error:
                pause = REFUSED_SECONDS
                _log.error("finality_refused", reason=error.reason, detail=error.detail)
            except DomainError as refusal:
                pause = 1.0
                if refusal.symbol != told:
                    _log.info("finality_waits", reason=refusal.symbol)
                told = refusal.symbol
            except Exception:  # noqa: BLE001 - whatever it was, the line goes on
                pause = REFUSED_SECONDS
                _log.exception("finality_failed")

    def _is_wanted(self) -> bool:
        """Ask while something waits, and once at the start: how far the log is final is shown to callers."""
        return bool(len(self._pending)) or not self._pending.cosigned_size

    def step(self) -> bool:
        """Make final what can be; whether something became final.

        Raises:
            TlogError: a checkpoint or a bundle that does not hold: nothing of it is made final.
            DomainError: the bridge cannot be reached, or the writer is busy.
        """
        policy = self._policy()
        offered = self._source.cosigned()
        if not offered.note:
            return False
        size = verify_checkpoint(offered.note, policy).checkpoint.size
        if self._watch is not None and offered.note != self._watched:
            self._watch(offered.note)
            self._watched = offered.note
        self._pending.cosigned_size = max(self._pending.cosigned_size, size)
        rows = {row.key: row for row in self._pending.waiting(size, BUNDLES_PER_CALL)}
        if not rows:
            return False
        checked = []
        for bundle in self._source.bundles(keys_of(rows.values())):
            row = rows.get(TransferKey(bundle.source, bundle.transfer_id))
            if row is None:
                continue
            if check_bundle(bundle, row, policy):
                checked.append((row, bundle.SerializeToString()))
            else:
                self._keep_contradiction(row.key)
        if not checked:
            return False

        def work(group: Group) -> list[int]:
            return make_final(group, checked)

        self._orders.run(work)
        return True

    def _keep_contradiction(self, key: TransferKey) -> None:
        """The log names another decision than this node was sent: keep both (R4); the rest goes on."""
        if key in self._accused:
            return
        envelopes = self._source.decision_of(key).envelopes

        def work(group: Group) -> bool:
            return keep_other_decision(group, key, envelopes)

        if self._orders.run(work):
            _log.error("two_decisions", source=key.source, transfer_id=key.transfer_id.hex())
            self._accused.add(key)
