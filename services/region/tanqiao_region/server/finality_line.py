"""Asks the bridge for the FinalityBundles of what is pending here, checks them, and makes them final.

What is pending is the outbox: nothing is asked for while nothing waits, and what was missed is asked again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from typing import Final, Protocol

import structlog

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog.checkpoint import size_of_note
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import Policy, verify_checkpoint
from tanqiao.tlog.proof import parse_proof
from tanqiao.witnessing.follower import Offered
from tanqiao_region.application.contradictions import keep_other_decision, keep_unproven
from tanqiao_region.application.finality import check_bundle, keys_of, make_final
from tanqiao_region.application.group import Group
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.pending import Pending, PendingRow

POLL_SECONDS: Final = 0.25
FIRST_GROUP_SECONDS: Final = 5.0
"""So often a network without witnesses is asked whether it has some now."""
REFUSED_SECONDS: Final = 5.0
"""After so long what was refused, or not given, is asked for again."""
REFUSED_KEPT_MAX: Final = 1_000
"""Bundles that proved nothing and are kept as evidence, while the node runs; of more the log tells."""
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
        policy: gives the policy under which a checkpoint of a size of the bridge's log is final.
        renew: told the log index of the newest change of the group of witnesses, so that the policy knows it.
        watch: holds a final checkpoint against what this node's own witness has replayed; raises when it
            is of another tree.
        alarm: told what a person must see.
    """

    def __init__(
        self,
        pending: Pending,
        orders: Orders,
        source: FinalitySource,
        policy: Callable[[int], Policy],
        watch: Callable[[bytes], None] | None = None,
        renew: Callable[[int], None] = lambda _index: None,
        alarm: Callable[[DomainError], None] = lambda _refusal: None,
    ) -> None:
        self._pending = pending
        self._orders = orders
        self._source = source
        self._policy = policy
        self._watch = watch
        self._renew = renew
        self._watched = b""
        self._alarm = alarm
        self._aside = _Aside()
        self._refused: set[TransferKey] = set()
        self._accused: set[TransferKey] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask in a thread of its own until `stop`; without witnesses, now and then whether there are some."""
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
            pause = POLL_SECONDS if self._pending.quorum else FIRST_GROUP_SECONDS
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
            TlogError: a checkpoint that does not hold: nothing under it is made final.
            DomainError: the bridge cannot be reached, or the writer is busy.
        """
        offered = self._source.cosigned()
        if not offered.note:
            return False
        self._renew(offered.group_index)
        policies = cache(self._policy)
        size = verify_checkpoint(offered.note, policies(size_of_note(offered.note))).checkpoint.size
        if self._watch is not None and offered.note != self._watched:
            self._watch(offered.note)
            self._watched = offered.note
        self._pending.cosigned_size = max(self._pending.cosigned_size, size)
        rows = {row.key: row for row in self._pending.waiting(size, BUNDLES_PER_CALL, self._aside.now())}
        if not rows:
            return False
        checked = []
        for bundle in self._source.bundles(keys_of(rows.values())):
            # Not asked for, or given twice: the first counts.
            row = rows.pop(TransferKey(bundle.source, bundle.transfer_id), None)
            if row is not None and self._holds(bundle, row, policies, size):
                checked.append((row, bundle.SerializeToString()))
        self._aside.put(rows)  # those that were not given
        return bool(checked) and self._finish(checked)

    def _holds(
        self, bundle: log_pb2.FinalityBundle, row: PendingRow, policies: Callable[[int], Policy], size: int
    ) -> bool:
        """Whether a bundle makes its row final; one that does not is refused alone, and the rest goes on.

        Under a checkpoint beyond the verified size it may rest on witnesses or keys that are not known here
        yet: it is no evidence, and is asked for again.
        """
        cosigned, why = 0, ""
        try:
            cosigned = size_of_note(parse_proof(bundle.proof).checkpoint)
            if check_bundle(bundle, row, policies(cosigned)):
                return True
        except TlogError as error:
            why = f"{error.reason}: {error.sentence_in('en')}"
        except DomainError as refusal:  # of the policy: it rests on a size for which there is none
            why = refusal.sentence("en")
        if not why:
            self._keep_contradiction(row.key)
        elif cosigned > size:
            _log.info("bundle_waits", transfer_id=row.key.transfer_id.hex(), size=cosigned, reason=why)
        else:
            self._refuse(row.key, bundle, why)
        self._aside.put([row.key])
        return False

    def _refuse(self, key: TransferKey, bundle: log_pb2.FinalityBundle, why: str) -> None:
        """Keep a bundle that proves nothing, once for each transfer, and raise the alarm."""
        refusal = DomainError("PROOF_INVALID", detail=why)
        self._alarm(refusal)
        _log.error("bundle_refused", source=key.source, transfer_id=key.transfer_id.hex(), reason=why)
        if key in self._refused or len(self._refused) >= REFUSED_KEPT_MAX:
            return
        data = bundle.SerializeToString()
        self._orders.run(lambda group: keep_unproven(group, key, data, refusal))
        self._refused.add(key)

    def _finish(self, checked: Sequence[tuple[PendingRow, bytes]]) -> bool:
        """Make rows final together; where the books forbid one of them, each alone, and that one waits."""
        try:
            self._orders.run(lambda group: make_final(group, checked))
        except InvariantBroken as broken:
            if len(checked) > 1:
                return sum(self._finish([one]) for one in checked) > 0
            key = checked[0][0].key
            self._aside.put([key])
            self._alarm(DomainError("INTERNAL", correlation_id=key.transfer_id.hex()))
            _log.exception(
                "not_made_final", source=key.source, transfer_id=key.transfer_id.hex(), why=str(broken)
            )
            return False
        return True

    def _keep_contradiction(self, key: TransferKey) -> None:
        """The log names another decision than this node was sent: keep both (R4); the rest goes on."""
        if key in self._accused:
            return
        try:
            envelopes = self._source.decision_of(key).envelopes
        except DomainError as refusal:
            _log.error("other_decision_not_shown", transfer_id=key.transfer_id.hex(), reason=refusal.symbol)
            return

        def work(group: Group) -> bool:
            return keep_other_decision(group, key, envelopes)

        if self._orders.run(work):
            _log.error("two_decisions", source=key.source, transfer_id=key.transfer_id.hex())
            self._accused.add(key)


class _Aside:
    """Transfers whose bundle was not given or did not hold: they are asked for again after a while."""

    def __init__(self) -> None:
        self._until: dict[TransferKey, float] = {}

    def put(self, keys: Iterable[TransferKey]) -> None:
        """Put transfers aside; bounded by what is pending."""
        until = time.monotonic() + REFUSED_SECONDS
        self._until.update((key, until) for key in keys)

    def now(self) -> Collection[TransferKey]:
        """Give those that are aside, without those whose time has come."""
        if self._until:
            now = time.monotonic()
            self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until
