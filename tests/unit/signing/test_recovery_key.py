"""The recovery key: who can seal, who can read, and to what a record is bound (PROTOCOL I6)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tanqiao.api.bridge.v1 import mirror_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.recovery_key import (
    Sealer,
    Unsealer,
    create_recovery_key,
    load_recovery_key,
    load_recovery_public_key,
)
from tanqiao.signing.suites import SuiteId, key_id_of, suite_of

NETWORK = "test-net"
LEAF_HASH = bytes(range(32))
PASSPHRASE = b"correct horse battery"


def signer_of(owner: str, role: KeyRole = KeyRole.MESSAGE) -> tuple[Signer, KeyEntry]:
    """Make a key and its entry."""
    suite = suite_of(SuiteId.ED25519)
    private = suite.generate()
    public = suite.public_key_of(private) or b""
    signer = Signer(owner, role, key_id_of(SuiteId.ED25519, public), 1, suite.signing(private))
    return signer, KeyEntry(owner, role, SuiteId.ED25519, public, 1)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The private and the public half."""
    private, public = tmp_path / "off-line" / "recovery.key", tmp_path / "keys" / "recovery.pem"
    create_recovery_key(private, public, PASSPHRASE)
    return private, public


def refused(unsealer: Unsealer, sealed: bytes, directory: KeyDirectory, index: int = 7) -> str:
    with pytest.raises(DomainError) as caught:
        unsealer.unseal(sealed, directory, index, LEAF_HASH)
    return caught.value.symbol


def test_what_the_bridge_sealed_is_read_with_the_private_half_for_its_leaf_alone(
    files: tuple[Path, Path],
) -> None:
    private, public = files
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = load_recovery_public_key(public)
    assert key is not None
    signer, entry = signer_of("bridge")
    directory = KeyDirectory.of([entry])
    sealer = Sealer(key, NETWORK, lambda: signer)
    sealed = sealer.seal(7, LEAF_HASH, b"record")
    assert b"record" not in sealed
    unsealer = Unsealer(load_recovery_key(private, PASSPHRASE), NETWORK)
    assert unsealer.unseal(sealed, directory, 7, LEAF_HASH) == b"record"
    first, second = (mirror_pb2.SealedRecord.FromString(sealer.seal(8, LEAF_HASH, b"x")) for _ in range(2))
    assert first.sealing_key == second.sealing_key, "one signature for many records"
    assert first.nonce != second.nonce
    assert refused(unsealer, sealed, directory, 8) == "MIRROR_RECORD_UNSOUND"
    with pytest.raises(DomainError):
        unsealer.unseal(sealed, directory, 7, bytes(32))
    assert refused(unsealer, sealed[:-1], directory) == "MIRROR_RECORD_UNSOUND"
    assert refused(unsealer, b"\xff", directory) == "MIRROR_RECORD_UNSOUND"
    assert refused(Unsealer(unsealer._recovery_key, "test-other"), sealed, directory) == (
        "MIRROR_RECORD_UNSOUND"
    )


@pytest.mark.parametrize(
    ("owner", "role"), [("region/310000", KeyRole.MESSAGE), ("bridge", KeyRole.CHECKPOINT)]
)
def test_nobody_but_the_bridge_with_its_message_key_can_seal(
    files: tuple[Path, Path], owner: str, role: KeyRole
) -> None:
    private, public = files
    key = load_recovery_public_key(public)
    assert key is not None
    signer, entry = signer_of(owner, role)
    sealed = Sealer(key, NETWORK, lambda: signer).seal(7, LEAF_HASH, b"record")
    unsealer = Unsealer(load_recovery_key(private, PASSPHRASE), NETWORK)
    assert refused(unsealer, sealed, KeyDirectory.of([entry])) == "MIRROR_RECORD_UNSOUND"
    assert refused(unsealer, sealed, KeyDirectory.of([])) == "MIRROR_RECORD_UNSOUND"
    _, own = signer_of("bridge")
    claimed = mirror_pb2.SealedRecord.FromString(sealed)
    claimed.key_id = own.key_id
    assert refused(unsealer, claimed.SerializeToString(), KeyDirectory.of([own])) == "MIRROR_RECORD_UNSOUND"


def test_files_that_are_no_recovery_key_are_refused_and_none_is_overwritten(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = files
    with pytest.raises(DomainError) as caught:
        create_recovery_key(private, tmp_path / "other.pem")
    assert caught.value.symbol == "ALREADY_EXISTS"
    with pytest.raises(DomainError) as caught:
        load_recovery_key(private, b"another passphrase")
    assert caught.value.symbol == "KEY_FILE_INVALID"
    assert load_recovery_public_key(tmp_path / "none.pem") is None
    public.write_bytes(b"-----BEGIN PUBLIC KEY-----")
    with pytest.raises(DomainError) as caught:
        load_recovery_public_key(public)
    assert caught.value.symbol == "KEY_FILE_INVALID"
