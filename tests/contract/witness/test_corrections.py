"""Corrections and freezes in the running system, replayed by its witnesses (rows 10 and 14, R8)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.client.proofs import ServedLog
from tanqiao.offline.make import write_replay
from tanqiao.offline.replay import Claim
from tanqiao.signing.logs import witness_policy
from tests.contract.bridge.approvers import pair_freeze
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.trio import Trio
from tests.contract.witness.harness import wait_for
from tests.contract.witness.witnessed import (
    address_at,
    correct,
    cosigned_size,
    credited,
    freeze,
    holdings,
    status,
)
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_a_correction_takes_pending_units_back_and_the_log_stays_whole(trio: Trio, tmp_path: Path) -> None:
    market = trio.market
    trio.running[SHANGHAI].logs.witness.stop()
    transfer_id = market.send(1)
    market.wait_ended([transfer_id])
    wait_for(credited(trio))
    (held,) = holdings(trio)
    before_kg = market.balance(SHANGHAI, market.seller).held_kg

    # While it is below quorum: what was credited is pending, and goes back where it came from.
    assert freeze(trio, pair_freeze()) > 0
    back = address_at(trio, SHANGHAI, market.seller)
    index = correct(trio, [held.block], back, back=True)
    wait_for(lambda: market.balance(SHANGHAI, market.seller).held_kg == before_kg + 1)
    wait_for(lambda: not holdings(trio))
    # A second one says what is so already, and part of a third: all stays where it is.
    assert correct(trio, [held.block], back, back=True) > index
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 1)
    lifting = pair_freeze(unfreeze=True)
    freeze(trio, lifting)

    # The quorum comes back: its witnesses have replayed the freeze, its lifting and the corrections.
    trio.restart(SHANGHAI)
    for party in (SHANGHAI, SHENZHEN):
        wait_for(lambda party=party: status(trio, party).transfers_pending == 0)  # type: ignore[misc]
    wait_for(lambda: cosigned_size(trio) > index)
    second = market.send(2)
    market.wait_ended([second])
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 0 and len(holdings(trio)) == 1)
    assert correct(trio, [holdings(trio)[0].block], back, back=True) > index
    wait_for(lambda: not holdings(trio))
    assert market.conserved().holds
    trio.require_clean()
    _whole_series(trio, tmp_path)


def _whole_series(trio: Trio, tmp_path: Path) -> None:
    """Both offline verifiers find the series whole, corrections included."""
    size = trio.running["bridge"].context.log_size
    wait_for(lambda: cosigned_size(trio) >= size)
    network = trio.network
    policy = witness_policy(
        network.network_id, network.directory, network.network.federation.witness_group
    ).encode()
    served = ServedLog(SimpleNamespace(channel=trio.market.channel("bridge", SHENZHEN)))  # type: ignore[arg-type]
    file = tmp_path / "series.tanqiao-proof"
    report = write_replay(served, "conservation", Claim(series_id=trio.market.series_id), policy, file)
    assert report.holds
    assert report.facts["leaves"]["correction"] == 3
    assert "each in one place" in verify_file(file.read_bytes(), OtherPolicy(policy))
    assert messages_pb2.OUTCOME_COMMIT  # the units crossed before they were brought back
