"""The offline root in its encrypted file: opened with its password alone, refused when changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.signing import root_file
from tanqiao.signing.keyring import load_private_key
from tanqiao.signing.root_file import open_root_file, write_root_file
from tanqiao.testing.network import NetworkOfTest

OWNER = "authority/310000"
PASSWORD = "correct horse battery"


@pytest.fixture
def sealed(net: NetworkOfTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(root_file, "SCRYPT_N", root_file.SCRYPT_N_MIN)  # the cheapest that is accepted
    ring = net.network.home / "authorities" / "310000" / "root"
    path = tmp_path / "root.json"
    write_root_file(path, OWNER, 1, 1, load_private_key(ring / "root-1.key"), PASSWORD)
    return path


def symbol_of(path: Path, password: str = PASSWORD) -> str:
    with pytest.raises(DomainError) as caught:
        open_root_file(path, password)
    return caught.value.symbol


def test_the_file_gives_the_same_root(net: NetworkOfTest, sealed: Path) -> None:
    root, known = open_root_file(sealed, PASSWORD), net.network.root(OWNER)
    assert (root.signer.owner, root.signer.key_id, root.public_key) == (
        OWNER,
        known.signer.key_id,
        known.public_key,
    )
    assert root.signer.sign(b"m") == known.signer.sign(b"m")
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert known.public_key.hex() in sealed.read_text()
    assert b"PRIVATE" not in sealed.read_bytes()


def test_another_password_opens_nothing(sealed: Path) -> None:
    assert symbol_of(sealed, "correct horse batterz") == "KEY_FILE_INVALID"
    assert symbol_of(sealed, "") == "KEY_FILE_INVALID"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", "authority/440300"),
        ("epoch", 2),
        ("suite", 2),
        ("public_key", "00" * 32),
        ("scrypt_n", 2**30),
        ("scrypt_n", 2),
        ("salt", "00" * 16),
        ("nonce", "zz"),
        ("sealed", "00"),
        ("format", "tanqiao-root-key@v2"),
        ("owner", None),
    ],
)
def test_a_file_in_which_anything_was_changed_is_refused(sealed: Path, field: str, value: object) -> None:
    document = json.loads(sealed.read_text())
    document[field] = value
    sealed.write_text(json.dumps(document))
    assert symbol_of(sealed) == "KEY_FILE_INVALID"


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff\xfe", b"null"])
def test_bytes_that_are_no_root_file_are_refused(sealed: Path, data: bytes) -> None:
    sealed.write_bytes(data)
    assert symbol_of(sealed) == "KEY_FILE_INVALID"


def test_a_file_that_others_may_read_is_refused(sealed: Path) -> None:
    sealed.chmod(0o644)
    assert symbol_of(sealed) == "KEY_FILE_PERMISSIONS"


def test_a_short_password_and_a_file_that_is_there_are_refused(net: NetworkOfTest, sealed: Path) -> None:
    key = load_private_key(net.network.home / "authorities" / "310000" / "root" / "root-1.key")
    with pytest.raises(DomainError, match="FIELD_INVALID"):
        write_root_file(sealed.with_name("new"), OWNER, 1, 1, key, "short")
    with pytest.raises(DomainError, match="ALREADY_EXISTS"):
        write_root_file(sealed, OWNER, 1, 1, key, PASSWORD)
