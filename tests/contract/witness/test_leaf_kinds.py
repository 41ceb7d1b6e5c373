"""A bridge writes no kind of leaf that its witnesses do not read (PROTOCOL section 8, new leaf types)."""

from __future__ import annotations

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.leaf_kinds import FIRST_KINDS
from tests.contract.bridge.case_office import decide
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import WitnessMaker

CDM, PLANT = ("cdm", "CDM-0001"), ("vcs", "VCS-0001")


def test_a_later_kind_waits_until_the_last_witness_has_announced_it(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    keeper = running.bridge.logs.keeper
    witnesses.sealed()
    for party in (SHANGHAI, SHENZHEN):
        witnesses.make(party).step()
    size = keeper.checkpoints(BRIDGE).log_size
    with pytest.raises(DomainError, match="LEAF_KIND_NOT_ANNOUNCED") as refused:
        decide(running, CDM, PLANT)
    assert YUNNAN in str(refused.value)
    assert SHANGHAI not in str(refused.value)
    assert keeper.checkpoints(BRIDGE).log_size == size, "nothing of it is written"
    # The last one comes, with its first cosignature; from the next index on the kind may be used.
    running.recognise()
    witnesses.sealed()
    last = witnesses.make(YUNNAN)
    assert last.step() == size + 1
    assert decide(running, CDM, PLANT) == size + 1
    assert witnesses.sealed() == size + 2
    assert last.step() == size + 2, "it reads what it has announced"


def test_no_code_of_the_bridge_writes_a_later_kind_without_asking(
    running: Running, shanghai: PlayedRegion
) -> None:
    later = make_leaf("asset_alias", public={"relation": b"SAME"})
    assert later.kind not in FIRST_KINDS
    with running.bridge.database.writing() as connection:
        size = log.log_size(connection)
        with pytest.raises(InvariantBroken, match="asset_alias"):
            log.append_leaves(connection, [later], recorded_at=0)
    assert running.bridge.logs.keeper.checkpoints(BRIDGE).log_size == size
