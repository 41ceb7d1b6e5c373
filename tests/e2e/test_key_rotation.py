"""Keys of the bridge and of two regions rotate while transfers run, on both databases; nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_key
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.tlog.note import parse_note
from tests.contract.bridge.harness import Running
from tests.contract.bridge.test_keys import Office
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio
from tests.contract.witness.harness import wait_for
from tests.e2e.test_restarts import ORDERS, stream_of_transfers

ORDER = ("bridge", SHANGHAI, SHENZHEN, "bridge", SHANGHAI)
ROLES = (KeyRole.MESSAGE, KeyRole.CHECKPOINT)
END_AHEAD_LEAVES = 200
WAIT_SECONDS = 60


@pytest.fixture
def three(tmp_path: Path, database_maker: DatabaseMaker, database_kind: str) -> Iterator[tuple[Trio, Office]]:
    """Three real nodes, and the authorities with their roots."""
    network = full_network(tmp_path)
    with trio(network, database_maker, database_kind) as made:
        yield made, Office(Running(network, made.running["bridge"]))


def rotate(office: Office, party: str) -> None:
    """Rotate what a node signs messages with, and its log."""
    for role in ROLES:
        rotate_key(office, party, role)


def rotate_key(office: Office, party: str, role: KeyRole) -> None:
    """As an operator does: the next key announced; the old one ended when nothing rests on it."""
    directory = office.running.bridge.context.directory
    old = [
        entry
        for entry in directory.owned_by(party, role)
        if not entry.revoked and entry.valid_to_index is None
    ]
    office.submit(Keyring.add_key(office.ring(party), role).entry())
    deadline = time.monotonic() + WAIT_SECONDS
    for entry in old:
        while True:
            try:
                office.submit(replace(entry, valid_to_index=office.size + END_AHEAD_LEAVES))
                break
            except DomainError as refusal:
                if refusal.symbol not in ("KEY_IN_USE", "KEY_INDEX_PAST") or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def log_is_signed_with_the_newest(nodes: Trio, office: Office, party: str) -> bool:
    """Whether the bridge serves a checkpoint of the party's log under the key that was announced last."""
    newest = nodes.running["bridge"].logs.keeper.checkpoints(party).newest
    entry = office.running.bridge.context.directory.owned_by(party, KeyRole.CHECKPOINT)[-1]
    key = note_key(nodes.network.network_id, entry)
    return newest is not None and any(line.is_by(key) for line in parse_note(newest.note).signatures)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_key_rotates_while_transfers_run(three: tuple[Trio, Office]) -> None:
    nodes, office = three
    stream_of_transfers(nodes.market, lambda number: rotate(office, ORDER[number]), seed=7)
    # A log bears the line of a key from the next leaf on.
    nodes.market.wait_ended([nodes.market.send(ORDERS)])
    epochs = {
        party: max(
            entry.epoch for entry in office.running.bridge.context.directory.owned_by(party, KeyRole.MESSAGE)
        )
        for party in dict.fromkeys(ORDER)
    }
    assert epochs == {"bridge": 3, SHANGHAI: 3, SHENZHEN: 2}
    for party in dict.fromkeys(ORDER):
        context = nodes.running[party].context
        assert context.signer.key_epoch == epochs[party]
        wait_for(partial(log_is_signed_with_the_newest, nodes, office, party))
    nodes.require_clean()
    # The nodes find the keys again, and books that were signed under the old ones stay whole.
    for party in dict.fromkeys(ORDER):
        nodes.restart(party)
        assert nodes.running[party].context.signer.key_epoch == epochs[party]
    nodes.require_clean()
