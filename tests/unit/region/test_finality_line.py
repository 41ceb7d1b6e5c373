"""Bundles under a checkpoint beyond the verified one: they are no evidence against an honest bridge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.keys import KeyType, NoteSigner
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.policy import Policy, PolicyLog, PolicyWitness
from tanqiao.tlog.proof import make_proof
from tanqiao.witnessing.follower import Offered
from tanqiao_region.application.pending import Pending, PendingRow
from tanqiao_region.server import finality_line
from tanqiao_region.server.finality_line import FinalityLine

ORIGIN = "example.invalid/bridge"
LOG = NoteSigner.from_private_key(ORIGIN, Ed25519PrivateKey.generate())
LATER_WITNESS = NoteSigner.from_private_key(
    "witness/later", Ed25519PrivateKey.generate(), KeyType.COSIGNATURE_V1
)
KEY = TransferKey("region/310000", b"t" * 16)
HASH = b"h" * 32
LEAF = make_leaf(
    "decision", message_hashes=[HASH], public={"source": KEY.source.encode(), "transfer_id": KEY.transfer_id}
).encode()
LEAVES = (LEAF, make_leaf("other").encode())
KNOWN = Policy((PolicyLog(LOG.key),), (), (), "none")
UNKNOWN_GROUP = Policy((PolicyLog(LOG.key),), (PolicyWitness("later", LATER_WITNESS.key),), (), "later")


def note(size: int) -> bytes:
    """The log's checkpoint of a size."""
    root = MemoryTree(hash_leaf(leaf) for leaf in LEAVES[:size]).root()
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), LOG).encode()


def bundle(size: int) -> log_pb2.FinalityBundle:
    """The decision's bundle under the checkpoint of a size."""
    tree = MemoryTree(hash_leaf(leaf) for leaf in LEAVES[:size])
    return log_pb2.FinalityBundle(
        source=KEY.source,
        transfer_id=KEY.transfer_id,
        leaf=LEAF,
        proof=make_proof(0, size, tree, note(size)).encode(),
    )


class Bridge:
    """Shows a checkpoint, and bundles under one that it made since."""

    def __init__(self) -> None:
        self.shown, self.proven = 1, 2

    def cosigned(self) -> Offered:
        return Offered(note(self.shown), self.shown)

    def bundles(self, _keys: Sequence[TransferKey]) -> list[log_pb2.FinalityBundle]:
        return [bundle(self.proven)]

    def decision_of(self, _key: TransferKey) -> log_pb2.FinalityBundle:
        return bundle(self.proven)


class Writer:
    """Counts what it is given to do."""

    def __init__(self) -> None:
        self.works = 0

    def run(self, _work: Callable[[Any], Any]) -> None:
        self.works += 1


def no_policy(_size: int) -> Policy:
    raise DomainError("SETTING_INVALID", setting="witness_group", detail="no witness key of witness/later")


@pytest.mark.parametrize("of_later", [no_policy, lambda _size: UNKNOWN_GROUP])
def test_a_bundle_that_rests_on_witnesses_not_known_yet_waits_and_accuses_nobody(
    of_later: Callable[[int], Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finality_line, "REFUSED_SECONDS", -1.0)  # what was put aside is asked for at once
    pending, bridge, alarms = Pending(1), Bridge(), list[DomainError]()
    pending.begin([PendingRow(KEY, 0, HASH, "account", (), 0)])
    writer: Any = Writer()
    policies = {1: lambda _size: KNOWN, 2: of_later}
    line = FinalityLine(pending, writer, bridge, lambda size: policies[size](size), alarm=alarms.append)
    assert not line.step()
    assert (writer.works, alarms) == (0, []), "an honest bridge is not accused"
    # The same failure under the very checkpoint that was verified proves that the bundle is none.
    bridge.proven = 1
    given = bundle(1)
    given.leaf += b"x"
    monkeypatch.setattr(bridge, "bundles", lambda _keys: [given])
    assert not line.step()
    assert (writer.works, [one.symbol for one in alarms]) == (1, ["PROOF_INVALID"])
    # Once the group is known, the bundle makes its decision final.
    monkeypatch.undo()
    monkeypatch.setattr(finality_line, "REFUSED_SECONDS", -1.0)
    policies[2] = lambda _size: KNOWN
    bridge.shown = bridge.proven = 2
    assert line.step()
    assert writer.works == 2
