"""A network whose group of witnesses is smaller than those who could be one, and records that replace it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tanqiao.api.bridge.v1 import messages_pb2, witness_groups_pb2, witness_groups_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database
from tanqiao.signing.approvals import prepare
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import add_signature
from tanqiao.signing.federation import FEDERATION_NAME, WitnessGroup
from tanqiao.signing.note_keys import RingKeys
from tanqiao.signing.witness_groups import WITNESS_GROUP_KIND
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest, make_network
from tanqiao.witnessing.follower import Follower
from tanqiao_bridge.storage.tables import known_leaf_kind
from tests.contract.bridge.harness import WAIT_SECONDS, Running
from tests.contract.witness.harness import WitnessMaker

REGULATOR, UNIVERSITY = "witness/regulator", "witness/university"
FIRST_GROUP = WitnessGroup((SHANGHAI, SHENZHEN, YUNNAN), 2)
NEXT_GROUP = WitnessGroup((SHANGHAI, REGULATOR, UNIVERSITY), 2)
CARRIER = "operator/310000/sh.centre"


def network_with_candidates(home: Path) -> NetworkOfTest:
    """Give the standard network: three regions are witnesses, a regulator and a university have the keys."""
    made = make_network(home, quorum=3, witnesses=("regulator", "university"))
    return with_group(made, FIRST_GROUP)


def with_group(made: NetworkOfTest, group: WitnessGroup) -> NetworkOfTest:
    """Give the network with another first group, also in its files."""
    federation = replace(made.network.federation, witness_group=group)
    for path in made.network.home.rglob(FEDERATION_NAME):
        path.write_bytes(federation.dump())
    return NetworkOfTest(replace(made.network, federation=federation), made.directory)


def authorities(network: NetworkOfTest) -> list[str]:
    """Name every authority of the network."""
    return [anchor.owner for anchor in network.network.federation.anchors]


def record_of(group: WitnessGroup, **changes: Any) -> messages_pb2.WitnessGroupRecord:
    """Give a record that names a group in the place of the network's first."""
    values: dict[str, Any] = {
        "change_id": secrets.token_bytes(16),
        "witnesses": group.witnesses,
        "quorum": group.quorum,
        "document": "order 9",
        "reason": "invented",
    }
    return messages_pb2.WitnessGroupRecord(**{**values, **changes})


def approved(
    network: NetworkOfTest, record: messages_pb2.WitnessGroupRecord, but: Sequence[tuple[str, int]] = ()
) -> envelope_pb2.Envelope:
    """Let two approvers of every authority sign, but those that are named by authority and number."""
    owners = authorities(network)
    envelope = prepare(record, network.network_id, owners[0], message_id=secrets.token_bytes(16))
    for owner in owners:
        for number, key in enumerate(network.network.approvers(owner)):
            if (owner, number) not in but:
                envelope = add_signature(envelope, key.signer)
    return envelope


def rooted(
    network: NetworkOfTest, record: messages_pb2.WitnessGroupRecord, but: str = ""
) -> envelope_pb2.Envelope:
    """Let every root sign, but that of one authority."""
    owners = [owner for owner in authorities(network) if owner != but]
    envelope = prepare(record, network.network_id, owners[0], message_id=secrets.token_bytes(16))
    for owner in owners:
        envelope = add_signature(envelope, network.network.root(owner).signer)
    return envelope


def bring(running: Running, envelope: envelope_pb2.Envelope, request_id: str = "") -> int:
    """Bring a record to the bridge; its log index."""
    with running.channel(CARRIER) as channel:
        stub = witness_groups_pb2_grpc.WitnessGroupServiceStub(channel)
        answer = stub.ReplaceWitnessGroup(
            witness_groups_pb2.ReplaceWitnessGroupRequest(
                request_id=request_id or secrets.token_hex(8), record=envelope
            ),
            timeout=WAIT_SECONDS,
            wait_for_ready=True,
        )
    return int(answer.log_index)


def announce(running: Running, *parties: str) -> None:
    """Let parties have said that they read a change: their witnesses are not made in every test."""
    rows = [(party, WITNESS_GROUP_KIND) for party in parties]
    with running.bridge.database.writing() as connection:
        insert_rows(connection, known_leaf_kind, rows, ("witness", "kind"))
        connection.commit()


def follower_of(
    witnesses: WitnessMaker, party: str, source: Any = None, *, database: Database | None = None
) -> Follower:
    """Make the witness of a region or of a third party, which has no node."""
    network = witnesses.running.network
    if not party.startswith("witness/"):
        return witnesses.make(party, source, database)
    ring = network.network.caller(party) / "keys"
    return Follower(
        network.network.federation,
        RingKeys(network.network_id, ring, KeyRole.WITNESS).at,
        witnesses.store(database or witnesses.database()),
        source or witnesses.remote(party),
    )
