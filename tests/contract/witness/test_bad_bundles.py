"""FinalityBundles that do not verify, from a bridge that lies or is broken: each is refused alone (row 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog import proof
from tanqiao.tlog.errors import TlogError
from tanqiao_bridge.application import bundles
from tanqiao_bridge.storage.tables import conflict_case, decision
from tanqiao_region.application import finality
from tanqiao_region.application.contradictions import UNPROVEN
from tanqiao_region.server import finality_line
from tanqiao_region.storage.evidence import list_evidence
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.trio import Trio
from tests.contract.witness.harness import wait_for
from tests.contract.witness.witnessed import status

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
Spoil = Callable[[log_pb2.FinalityBundle], list[log_pb2.FinalityBundle]]


def whole(bundle: log_pb2.FinalityBundle) -> list[log_pb2.FinalityBundle]:
    return [bundle]


class SpoiltSource:
    """The bridge's LogService, of which some bundles are spoilt on their way."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.spoils: dict[bytes, Spoil] = {}

    def cosigned(self) -> Any:
        return self._real.cosigned()

    def decision_of(self, key: TransferKey) -> Any:
        return self._real.decision_of(key)

    def bundles(self, keys: Sequence[TransferKey]) -> list[log_pb2.FinalityBundle]:
        return [
            given
            for one in self._real.bundles(keys)
            for given in self.spoils.get(one.transfer_id, whole)(one)
        ]


def another_leaf(bundle: log_pb2.FinalityBundle) -> list[log_pb2.FinalityBundle]:
    bundle.leaf += b"x"
    return [bundle]


def no_proof(bundle: log_pb2.FinalityBundle) -> list[log_pb2.FinalityBundle]:
    bundle.proof = b""
    return [bundle]


def withheld(_bundle: log_pb2.FinalityBundle) -> list[log_pb2.FinalityBundle]:
    return []


def twice(bundle: log_pb2.FinalityBundle) -> list[log_pb2.FinalityBundle]:
    return [bundle, bundle]


def test_a_bundle_that_does_not_verify_is_refused_alone_and_the_rest_becomes_final(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finality_line, "REFUSED_SECONDS", 0.5)
    shenzhen = trio.running[SHENZHEN]
    line = shenzhen.logs.finality
    line._source = source = SpoiltSource(line._source)
    really, broken = finality.make_final, set[bytes]()

    def make_final(group: Any, checked: Any) -> list[int]:
        if any(row.key.transfer_id in broken for row, _ in checked):
            raise InvariantBroken("the books are not as they should be")
        return really(group, checked)

    monkeypatch.setattr(finality_line, "make_final", make_final)
    # All at once, so that they come in one page; the page is asked for when the witnesses have cosigned.
    trio.running[SHANGHAI].logs.witness.stop()
    sent = [bytes.fromhex(trio.market.send(number)) for number in range(1, 8)]
    source.spoils = dict(zip(sent, (another_leaf, no_proof, withheld, twice), strict=False))
    broken.add(sent[4])
    trio.market.wait_ended([one.hex() for one in sent])
    not_made = {index_of(trio, sent[5])}

    def make_proof(index: int, *rest: Any) -> Any:
        if index in not_made:
            raise TlogError("TILE_MISSING", "a tile of the bridge is damaged")
        return proof.make_proof(index, *rest)

    monkeypatch.setattr(bundles, "make_proof", make_proof)
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == len(sent))
    trio.restart(SHANGHAI)
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 5)
    wait_for(lambda: len(kept(trio)) == 2)
    answer = trio.market.node(SHENZHEN).GetNodeStatus(
        journal_pb2.GetNodeStatusRequest(), timeout=WAIT_SECONDS
    )
    alarms = {one.refusal.reason: one for one in answer.alarms}
    assert set(alarms) == {"INTERNAL", "PROOF_INVALID"}
    assert alarms["PROOF_INVALID"].count >= 2
    # The bridge is told by a numbered Nack, and a case is open for its people.
    wait_for(lambda: cases(trio) == {one.hex() for one in sent[:2]})
    # What was spoilt is asked for again, kept once, and becomes final as soon as it is whole.
    source.spoils.clear()
    broken.clear()
    not_made.clear()
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 0)
    assert len(kept(trio)) == 2
    assert trio.market.conserved().holds
    trio.require_clean()


def index_of(trio: Trio, transfer_id: bytes) -> int:
    """Where the decision of a transfer stands in the bridge's log."""
    with trio.running["bridge"].database.reading() as connection:
        query = sa.select(decision.c.log_index).where(decision.c.transfer_id == transfer_id)
        return int(connection.execute(query).scalar_one())


def kept(trio: Trio) -> list[Any]:
    """What Shenzhen has kept of bundles that proved nothing."""
    with trio.running[SHENZHEN].database.reading() as connection:
        return [row for row in list_evidence(connection) if row.kind == UNPROVEN]


def cases(trio: Trio) -> set[str]:
    """The transfers that the bridge's cases of Nacks name."""
    with trio.running["bridge"].database.reading() as connection:
        rows = connection.execute(
            sa.select(conflict_case.c.details).where(conflict_case.c.kind == "nack received")
        )
        return {row[0].rpartition(":")[2].strip('"}') for row in rows}
