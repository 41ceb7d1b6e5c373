"""Provisioning a network, and what a node believes of the file it is given."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.signing import Keyring, KeyRole, Verifier, payload_type_of, sign_envelope
from tanqiao.signing.federation import (
    FILE_BYTES_MAX,
    Federation,
    authority_of,
    open_key_record,
)
from tanqiao.signing.provision import (
    NetworkPlan,
    RegionPlan,
    build_key_record,
    build_recognition_record,
    provision_network,
)
from tanqiao.testing.network import BRIDGE, NETWORK_ID, SHANGHAI, SHENZHEN, NetworkOfTest, standard_plan

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SMALL = NetworkPlan(NETWORK_ID, (RegionPlan("310000", "shanghai", ("sh.centre",)),), readers=("national",))


def files_of(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_provisioning_twice_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = provision_network(home, SMALL, now=NOW)
    before = files_of(home)
    second = provision_network(home, SMALL, now=NOW + timedelta(days=10))
    assert files_of(home) == before
    assert first.federation == second.federation


def test_a_region_added_later_joins_and_the_others_keep_their_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = provision_network(home, SMALL, now=NOW)
    before = files_of(home)
    regions = (*SMALL.regions, RegionPlan("440300", "shenzhen"))
    second = provision_network(home, replace(SMALL, regions=regions), now=NOW)
    after = files_of(home)
    changed = {name for name, data in before.items() if after[name] != data}
    assert changed == {f"{node}/federation.json" for node in ("network", "bridge", "shanghai")}
    assert second.federation.key_records[: len(first.federation.key_records)] == first.federation.key_records
    assert second.federation.directory().owned_by(SHENZHEN)


def test_what_was_lost_is_made_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    network = provision_network(home, SMALL, now=NOW)
    network.tls(SHANGHAI).certificate.unlink()
    (network.node(SHANGHAI) / "federation.json").unlink()
    provision_network(home, SMALL, now=NOW)
    assert (network.node(SHANGHAI) / "federation.json").read_bytes() == network.federation.dump()
    assert network.tls(SHANGHAI).certificate.exists()


def test_every_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    provision_network(home, SMALL, now=NOW)
    private = [path for path in home.rglob("*") if path.suffix == ".key" or path.name == "keyring.json"]
    assert len(private) >= 10
    for path in private:
        assert path.stat().st_mode & 0o777 == 0o600, path
    for path in home.rglob("*"):
        if path.is_file() and path not in private:
            assert b"PRIVATE" not in path.read_bytes(), path
        if path.is_dir() and path.name in ("keys", "root", "approver-1", "approver-2", "tls", "network"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_roots_may_be_encrypted_with_a_passphrase(tmp_path: Path) -> None:
    home = tmp_path / "home"
    network = provision_network(home, SMALL, now=NOW, root_passphrase=b"word")
    assert network.root("authority/310000").signer.role == KeyRole.ROOT
    assert provision_network(home, SMALL, now=NOW, root_passphrase=b"word").federation == network.federation
    with pytest.raises(DomainError) as refusal:
        provision_network(home, SMALL, now=NOW)
    assert refusal.value.symbol == "KEY_FILE_INVALID"
    assert "word" not in repr(network)


@pytest.mark.parametrize("network_id", ["", "Test Network", "../x"])
def test_a_network_without_a_plain_name_is_not_made(tmp_path: Path, network_id: str) -> None:
    with pytest.raises(DomainError):
        provision_network(tmp_path / "home", replace(SMALL, network_id=network_id), now=NOW)
    assert not (tmp_path / "home").exists()


def test_a_party_that_the_plan_does_not_name_breaks_an_invariant(net: NetworkOfTest) -> None:
    for ask in (net.network.node, net.network.caller, net.network.tls):
        with pytest.raises(InvariantBroken):
            ask("region/999999")


def test_a_standard_network_holds_what_a_federation_needs(net: NetworkOfTest) -> None:
    plan = standard_plan()
    assert len(plan.nodes()) == 6
    for directory, _ in plan.callers():
        assert (net.network.home / directory / "tls" / "node.pem").exists()


@pytest.mark.parametrize(
    ("owner", "authority"),
    [
        (SHANGHAI, "authority/310000"),
        (BRIDGE, "authority/bridge"),
        ("gateway/ccer", "authority/bridge"),
        ("witness/north", "authority/bridge"),
        ("authority/310000", "authority/310000"),
        ("authority/bridge", "authority/bridge"),
        ("operator/310000/sh.centre", "authority/310000"),
    ],
)
def test_each_party_has_one_authority(owner: str, authority: str) -> None:
    assert authority_of(owner) == authority


def test_the_file_says_the_same_after_it_was_read(net: NetworkOfTest, tmp_path: Path) -> None:
    path = tmp_path / "federation.json"
    path.write_bytes(net.network.federation.dump())
    read = Federation.load(path)
    assert read == net.network.federation
    assert read.dump() == net.network.federation.dump()
    assert set(read.directory()) == set(net.directory)
    assert [party.path for party in read.authorities] == net.network.plan.authorities()


def test_the_file_holds_no_secret(net: NetworkOfTest) -> None:
    document = json.loads(net.network.federation.dump())
    assert set(document) == {"format", "network_id", "trust_anchors", "key_records"}
    assert set(document["trust_anchors"][0]) == {"owner", "suite", "public_key", "epoch"}


def spoil(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\xff\xfe",
        lambda _: b"[]",
        lambda _: b"{}",
        lambda data: data[:-10],
        spoil(lambda document: document.update(format="tanqiao-federation-v2")),
        spoil(lambda document: document.update(network_id="Two Words")),
        spoil(lambda document: document.update(key_records="text")),
        spoil(lambda document: document["key_records"].append("not base64")),
        spoil(lambda document: document["key_records"].append("/////w==")),
        spoil(lambda document: document["key_records"].append(7)),
        spoil(lambda document: document["trust_anchors"][0].update(public_key="00" * 32)),
        spoil(lambda document: document["trust_anchors"][0].update(public_key="zz")),
        spoil(lambda document: document["trust_anchors"][0].update(suite="rsa")),
        spoil(lambda document: document["trust_anchors"][0].update(suite="sm2_sm3")),
        spoil(lambda document: document["trust_anchors"][0].update(owner="region/310000")),
        spoil(lambda document: document["trust_anchors"][0].pop("epoch")),
    ],
)
def test_a_damaged_file_is_refused(
    net: NetworkOfTest, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "federation.json"
    path.write_bytes(damage(net.network.federation.dump()))
    with pytest.raises(DomainError) as refusal:
        Federation.load(path)
    assert refusal.value.symbol == "SETTING_INVALID"
    assert str(path) in refusal.value.sentence("en")


@pytest.mark.parametrize(
    "form",
    [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n")],
    ids=["bom", "crlf"],
)
def test_a_byte_order_mark_and_other_line_ends_are_read(
    net: NetworkOfTest, tmp_path: Path, form: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "federation.json"
    path.write_bytes(form(net.network.federation.dump()))
    assert Federation.load(path) == net.network.federation


def test_a_missing_or_endless_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "federation.json"
    with pytest.raises(DomainError) as refusal:
        Federation.load(path)
    assert refusal.value.symbol == "FILE_MISSING"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(DomainError) as refusal:
        Federation.load(path)
    assert refusal.value.symbol == "FILE_TOO_LARGE"


def refused(federation: Federation) -> str:
    with pytest.raises(DomainError) as refusal:
        federation.directory()
    return refusal.value.symbol


def test_a_record_of_another_root_is_refused(net: NetworkOfTest, other_net: NetworkOfTest) -> None:
    foreign = replace(net.network.federation, key_records=other_net.network.federation.key_records)
    assert refused(foreign) == "KEY_UNKNOWN"


def test_a_changed_record_is_refused(net: NetworkOfTest) -> None:
    document = json.loads(net.network.federation.dump())
    raw = bytearray(base64.b64decode(document["key_records"][0]))
    raw[60] ^= 1
    changed = type(net.network.federation.key_records[0]).FromString(bytes(raw))
    assert refused(replace(net.network.federation, key_records=(changed,))) == "SIGNATURE_INVALID"


def test_records_under_an_exchanged_anchor_are_refused(net: NetworkOfTest, other_net: NetworkOfTest) -> None:
    anchors = (other_net.network.federation.anchors[0], *net.network.federation.anchors[1:])
    assert refused(replace(net.network.federation, anchors=anchors)) == "KEY_UNKNOWN"


def test_records_of_another_network_are_refused(net: NetworkOfTest) -> None:
    assert refused(replace(net.network.federation, network_id="test-other")) == "NETWORK_MISMATCH"


def test_a_root_vouches_for_its_own_parties_only(net: NetworkOfTest) -> None:
    shanghai_root = net.network.root("authority/310000")
    stolen = messages_pb2.KeyRecord(
        owner=SHENZHEN,
        role=messages_pb2.KEY_ROLE_MESSAGE,
        suite=messages_pb2.SUITE_ED25519,
        public_key=shanghai_root.public_key,
        key_epoch=1,
    )
    complete = net.complete(stolen, shanghai_root.signer)
    envelope = sign_envelope(shanghai_root.signer, payload_type_of(stolen), complete.SerializeToString())
    with pytest.raises(DomainError) as refusal:
        open_key_record(Verifier(NETWORK_ID, BRIDGE), envelope, net.directory, at_index=0)
    assert refusal.value.symbol == "SENDER_MISMATCH"
    with pytest.raises(InvariantBroken):
        build_key_record(NETWORK_ID, net.network.root("authority/440300"), shanghai_root)


def test_a_message_key_cannot_sign_a_key_record(net: NetworkOfTest) -> None:
    signer = net.signer(SHANGHAI)
    record = net.complete(messages_pb2.KeyRecord(owner=SHANGHAI), signer)
    envelope = sign_envelope(signer, payload_type_of(record), record.SerializeToString())
    with pytest.raises(DomainError) as refusal:
        open_key_record(Verifier(NETWORK_ID, BRIDGE), envelope, net.directory, at_index=0)
    assert refusal.value.symbol == "KEY_ROLE_WRONG"


def test_the_next_key_is_announced_by_a_record(net: NetworkOfTest, tmp_path: Path) -> None:
    Keyring.create(tmp_path / "keys", SHANGHAI)
    Keyring.add_key(tmp_path / "keys", KeyRole.MESSAGE)
    following = Keyring.add_key(tmp_path / "keys", KeyRole.MESSAGE)
    envelope = build_key_record(
        NETWORK_ID, net.network.root("authority/310000"), following, valid_from_index=100
    )
    record = open_key_record(Verifier(NETWORK_ID, BRIDGE), envelope, net.directory, at_index=5)
    directory = net.directory.with_records([record])
    entry = directory.get(following.signer.key_id)
    assert entry is not None
    assert (entry.epoch, entry.valid_at(99), entry.valid_at(100)) == (2, False, True)


def test_a_recognition_record_needs_the_roots_of_its_regions(net: NetworkOfTest) -> None:
    record = messages_pb2.RecognitionRecord(from_region=SHANGHAI, to_region=SHENZHEN)
    for roots in (["authority/310000"], ["authority/310000", "authority/530000"]):
        with pytest.raises(InvariantBroken):
            build_recognition_record(NETWORK_ID, record, [net.network.root(owner) for owner in roots])


def test_an_anchor_counts_at_every_index(net: NetworkOfTest) -> None:
    for anchor in net.network.federation.anchors:
        assert anchor.entry.role == KeyRole.ROOT
        assert anchor.entry.valid_at(0)
        assert anchor.entry.valid_at(2**62)
        with pytest.raises(DomainError):
            _ = replace(anchor, public_key=b"").entry
