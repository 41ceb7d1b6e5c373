"""A whole network for tests: certificates, keys and signed messages, made in a temporary directory.

The signatures are real; nothing here is a fake. A network takes about 60 ms to make, so that one serves a
session.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2
from tanqiao.cli.local.members import REGIONS
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.envelope import Signer, build_header, sign_envelope
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import Network, NetworkPlan, RegionPlan, provision_network

NETWORK_ID: Final = "test-local"
SHANGHAI: Final = "region/310000"
SHENZHEN: Final = "region/440300"
YUNNAN: Final = "region/530000"
BRIDGE: Final = "bridge"
SHANGHAI_CENTRE: Final = "operator/310000/sh.centre"
SIGNING_ROLES: Final = tuple(region.signing_roles for region in REGIONS)
"""Of Shanghai, Shenzhen and Yunnan."""
ID_BYTES: Final = 16
HASH_BYTES: Final = 32

M = TypeVar("M", bound=Message)


def standard_plan(
    network_id: str = NETWORK_ID,
    *,
    quorum: int = 0,
    witnesses: tuple[str, ...] = (),
    tokens: bool = False,
    officers: bool = False,
) -> NetworkPlan:
    """Give the plan of three regions, the bridge, two gateways, some operators and one reader.

    `officers`: whether the bodies that sign decisions have keys.
    """
    signing = SIGNING_ROLES if officers else ((), (), ())
    return NetworkPlan(
        network_id,
        (
            RegionPlan("310000", "shanghai", ("sh.centre", "sh.authority"), signing[0]),
            RegionPlan("440300", "shenzhen", ("sz.registry",), signing[1]),
            RegionPlan("530000", "yunnan", ("yn.registry",), signing[2]),
        ),
        gateways=("ccer", "gec"),
        readers=("national", "statistics"),
        witnesses=witnesses,
        quorum=quorum,
        tokens=tokens,
    )


def make_network(
    home: Path,
    network_id: str = NETWORK_ID,
    *,
    quorum: int = 0,
    witnesses: tuple[str, ...] = (),
    tokens: bool = False,
    officers: bool = False,
) -> NetworkOfTest:
    """Make the standard network in an empty directory; with a quorum its regions are witnesses."""
    plan = standard_plan(network_id, quorum=quorum, witnesses=witnesses, tokens=tokens, officers=officers)
    network = provision_network(home, plan, now=datetime.now(UTC))
    return NetworkOfTest(network, network.federation.directory())


@dataclass(frozen=True)
class NetworkOfTest:
    """A network with what tests ask of it.

    Args:
        network: as provisioned.
        directory: every key of it, verified.
    """

    network: Network
    directory: KeyDirectory
    _signers: dict[str, Signer] = field(default_factory=dict, repr=False)

    @property
    def network_id(self) -> str:
        """Name of the network."""
        return self.network.plan.network_id

    def signer(self, party: str) -> Signer:
        """Give the message key of a party that serves."""
        if party not in self._signers:
            self._signers[party] = Keyring.open(self.network.node(party) / "keys").signer(KeyRole.MESSAGE)
        return self._signers[party]

    def header(
        self,
        signer: Signer,
        *,
        audience: Iterable[str] = (BRIDGE,),
        network_id: str | None = None,
        transfer_id: bytes = b"",
        prev_hash: bytes = b"",
    ) -> envelope_pb2.Header:
        """Give a header of this network with a fresh message id."""
        return build_header(
            signer,
            network_id=network_id or self.network_id,
            audience=tuple(audience),
            message_id=secrets.token_bytes(ID_BYTES),
            source=signer.owner if signer.owner.startswith("region/") else "",
            transfer_id=transfer_id,
            prev_hash=prev_hash,
        )

    def complete(self, message: M, signer: Signer, audience: Iterable[str] = (BRIDGE,)) -> M:
        """Give a copy of the message with a header of the signer."""
        copy = type(message)()
        copy.CopyFrom(message)
        copy.MergeFrom(type(message)(header=self.header(signer, audience=audience)))
        return copy

    def envelope(
        self, message: Message, party: str, audience: Iterable[str] = (BRIDGE,)
    ) -> envelope_pb2.Envelope:
        """Give the message, completed with a header and signed by the party's message key."""
        signer = self.signer(party)
        complete = self.complete(message, signer, audience)
        return sign_envelope(signer, payload_type_of(message), complete.SerializeToString())

    def decision(
        self, to_sign: decisions_pb2.BodyDecision, *hands: tuple[str, int], **header: str | int
    ) -> envelope_pb2.Envelope:
        """Give a decision signed by these officers, each a body and its officer's number.

        The first is the sender; `header` changes what it says otherwise.
        """
        keys = [self.network.officer(party, number).signer for party, number in hands]
        complete = decisions_pb2.BodyDecision()
        complete.CopyFrom(to_sign)
        region = f"region/{hands[0][0].split('/')[1]}"
        complete.header.CopyFrom(self.header(keys[0], audience=(region,)))
        complete.header.MergeFrom(envelope_pb2.Header(**header))  # type: ignore[arg-type]  # its own fields
        return sign_envelope(keys, payload_type_of(complete), complete.SerializeToString())

    def batch(
        self, messages: Sequence[Message], party: str, audience: Iterable[str] = (BRIDGE,)
    ) -> envelope_pb2.EnvelopeBatch:
        """Give the messages of one type under one signature of the party."""
        signer, audience = self.signer(party), tuple(audience)
        payloads = [self.complete(message, signer, audience).SerializeToString() for message in messages]
        return sign_batch(signer, payload_type_of(messages[0]), payloads)


def lock_assertion(number: int = 0, quantity_kg: int = 1000) -> messages_pb2.LockAssertion:
    """Give a LockAssertion without a header: one block of a Shanghai project for Shenzhen."""
    lock = messages_pb2.LockAssertion(
        destination=SHENZHEN,
        receiving_address_commitment=secrets.token_bytes(HASH_BYTES),
        owner_commitment=secrets.token_bytes(HASH_BYTES),
        quantity_kg=quantity_kg,
    )
    start = number * quantity_kg
    lock.blocks.add(
        series_id="310000:SHCER:invented-1:2026:1", start_serial=start, end_serial=start + quantity_kg
    )
    return lock
