"""Private keys on disk: who may read them, and one sentence for each way in which they can be wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tanqiao.kernel.errors import DomainError
from tanqiao.signing import Keyring, KeyRole
from tanqiao.signing.keyring import INDEX_NAME, private_key_pem, write_private
from tanqiao.testing.network import SHANGHAI

MESSAGE_FILE = "message-1.key"


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    Keyring.create(directory, SHANGHAI)
    Keyring.add_key(directory, KeyRole.MESSAGE)
    return directory


def refusal_of(directory: Path, passphrase: bytes | None = None) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        Keyring.open(directory, passphrase)
    for sentence in (refusal.value.sentence("en"), refusal.value.sentence("zh")):
        assert "\n" not in sentence
        assert "{" not in sentence
    return refusal.value


def test_a_key_signs_after_it_was_read_again(ring: Path) -> None:
    keyring = Keyring.open(ring)
    signer = keyring.signer()
    stored = keyring.key(KeyRole.MESSAGE)
    assert (signer.owner, signer.role, signer.key_epoch) == (SHANGHAI, KeyRole.MESSAGE, 1)
    assert stored.entry().verify(signer.sign(b"x"), b"x")
    assert stored.entry().key_id == signer.key_id
    assert Keyring.open(ring).signer().sign(b"x") == signer.sign(b"x")


def test_the_newest_key_signs_unless_another_is_asked_for(ring: Path) -> None:
    first = Keyring.open(ring).signer()
    second = Keyring.add_key(ring, KeyRole.MESSAGE).signer
    keyring = Keyring.open(ring)
    assert keyring.signer().key_id == second.key_id != first.key_id
    assert keyring.signer(epoch=1).key_id == first.key_id
    assert (first.key_epoch, second.key_epoch) == (1, 2)


@pytest.mark.parametrize(("role", "epoch"), [(KeyRole.ROOT, None), (KeyRole.MESSAGE, 2)])
def test_a_key_that_is_not_there_is_not_found(ring: Path, role: KeyRole, epoch: int | None) -> None:
    with pytest.raises(DomainError) as refusal:
        Keyring.open(ring).signer(role, epoch)
    assert refusal.value.symbol == "NOT_FOUND"


def test_files_are_for_their_owner_only(ring: Path) -> None:
    assert ring.stat().st_mode & 0o777 == 0o700
    for file in ring.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name
    assert {file.name for file in ring.iterdir()} == {INDEX_NAME, MESSAGE_FILE}


def test_files_are_for_their_owner_only_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Keyring.create(tmp_path / "keys", SHANGHAI)
        Keyring.add_key(tmp_path / "keys", KeyRole.MESSAGE)
    finally:
        os.umask(before)
    assert Keyring.open(tmp_path / "keys").signer().owner == SHANGHAI


def test_the_index_holds_nothing_secret(ring: Path) -> None:
    index = json.loads((ring / INDEX_NAME).read_text())
    assert set(index) == {"owner", "keys"}
    assert set(index["keys"][0]) == {"role", "epoch", "suite", "file", "key_id"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601])
@pytest.mark.parametrize("name", [MESSAGE_FILE, INDEX_NAME])
def test_a_file_that_others_can_use_is_refused(ring: Path, name: str, mode: int) -> None:
    (ring / name).chmod(mode)
    refusal = refusal_of(ring)
    assert refusal.symbol == "KEY_FILE_PERMISSIONS"
    assert refusal.metadata["mode"] == f"{mode:04o}"
    assert refusal.metadata["file"].endswith(name)


def test_a_directory_that_others_can_use_is_refused(ring: Path) -> None:
    ring.chmod(0o755)
    assert refusal_of(ring).symbol == "KEY_FILE_PERMISSIONS"


def test_a_missing_directory_or_file_is_named(ring: Path, tmp_path: Path) -> None:
    assert refusal_of(tmp_path / "nowhere").symbol == "DIRECTORY_MISSING"
    (ring / MESSAGE_FILE).unlink()
    assert refusal_of(ring).symbol == "FILE_MISSING"
    (ring / INDEX_NAME).unlink()
    assert refusal_of(ring).symbol == "FILE_MISSING"


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\xff" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"BEGIN PRIVATE", b"BEGIN PUBLIC"),
        lambda data: data.replace(b"M", b"N"),
        lambda data: data * 200,
    ],
    ids=["emptied", "junk", "cut", "renamed", "changed", "too-large"],
)
def test_a_damaged_key_file_is_refused(ring: Path, damage: Callable[[bytes], bytes]) -> None:
    file = ring / MESSAGE_FILE
    write_private(file, damage(file.read_bytes()))
    refusal = refusal_of(ring)
    assert refusal.symbol == "KEY_FILE_INVALID"
    assert MESSAGE_FILE in refusal.sentence("en")


def _index(**changes: object) -> str:
    row: dict[str, object] = {"role": "message", "epoch": 1, "suite": 1, "file": "a", "key_id": ""}
    return json.dumps({"owner": SHANGHAI, "keys": [row | changes]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"owner": 1, "keys": []}',
        '{"owner": "nobody", "keys": []}',
        '{"owner": "region/310000"}',
        '{"owner": "region/310000", "keys": [{}]}',
        '{"owner": "region/310000", "keys": [1]}',
        _index(role="king"),
        _index(epoch="1"),
        _index(suite=None),
        _index(file="../a"),
        _index(key_id=7),
    ],
)
def test_a_damaged_index_is_refused(ring: Path, text: str) -> None:
    write_private(ring / INDEX_NAME, text.encode())
    assert refusal_of(ring).symbol == "KEY_FILE_INVALID"


def test_a_key_that_was_exchanged_is_refused(ring: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Keyring.create(other, SHANGHAI)
    Keyring.add_key(other, KeyRole.MESSAGE)
    write_private(ring / MESSAGE_FILE, (other / MESSAGE_FILE).read_bytes())
    refusal = refusal_of(ring)
    assert refusal.symbol == "KEY_FILE_INVALID"
    assert "not the key that the ring names" in refusal.sentence("en")


def test_a_key_of_another_scheme_is_refused(ring: Path) -> None:
    write_private(ring / MESSAGE_FILE, private_key_pem(ec.generate_private_key(ec.SECP256R1())))
    assert refusal_of(ring).symbol == "KEY_FILE_INVALID"


def test_a_root_key_needs_its_passphrase(tmp_path: Path) -> None:
    directory = tmp_path / "root"
    Keyring.create(directory, "authority/310000")
    root = Keyring.add_key(directory, KeyRole.ROOT, passphrase=b"correct horse").signer
    assert b"ENCRYPTED" in (directory / "root-1.key").read_bytes()
    assert Keyring.open(directory, b"correct horse").signer(KeyRole.ROOT).key_id == root.key_id
    assert "a passphrase is needed" in refusal_of(directory).sentence("en")
    assert "the passphrase is wrong" in refusal_of(directory, b"wrong").sentence("en")


def test_a_plain_key_is_not_opened_with_a_passphrase(ring: Path) -> None:
    refusal = refusal_of(ring, b"passphrase")
    assert refusal.symbol == "KEY_FILE_INVALID"


def test_a_ring_has_one_owner(ring: Path) -> None:
    assert Keyring.create(ring, SHANGHAI).owner == SHANGHAI
    with pytest.raises(DomainError) as refusal:
        Keyring.create(ring, "region/440300")
    assert refusal.value.symbol == "KEY_FILE_INVALID"
    with pytest.raises(DomainError):
        Keyring.create(ring / "new", "nobody")


def test_a_part_left_by_a_crash_does_not_hinder(ring: Path) -> None:
    (ring / f".{INDEX_NAME}.part").write_bytes(b"half")
    Keyring.add_key(ring, KeyRole.MESSAGE)
    assert Keyring.open(ring).signer().key_epoch == 2
