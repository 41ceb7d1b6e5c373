from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tanqiao.cli.main import main
from tanqiao.kernel import DomainError
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.pepper import (
    PEPPER_BYTES,
    PEPPER_NAME,
    fingerprint_of,
    make_request,
    open_pepper,
    pepper_check,
    read_pepper,
    seal_pepper,
    write_pepper,
)

PEPPER = bytes(range(PEPPER_BYTES))


def ring(path: Path) -> Path:
    Keyring.create(path, "region/310000")
    return path


def test_a_pepper_is_sealed_for_one_request_and_opened_once(tmp_path: Path) -> None:
    asking = ring(tmp_path / "asking")
    public_key = make_request(asking)
    sealed = seal_pepper(PEPPER, public_key)
    assert PEPPER not in sealed
    assert seal_pepper(PEPPER, public_key) != sealed
    assert open_pepper(asking, sealed) == PEPPER == read_pepper(asking / PEPPER_NAME)
    assert (asking / PEPPER_NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(DomainError) as refusal:
        open_pepper(asking, sealed)
    assert refusal.value.symbol == "FILE_MISSING"


def test_what_is_not_sealed_for_the_request_is_refused(tmp_path: Path) -> None:
    asking, other = ring(tmp_path / "asking"), ring(tmp_path / "other")
    public_key = make_request(asking)
    sealed = seal_pepper(PEPPER, public_key)
    bent = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in (bent, seal_pepper(PEPPER, make_request(other)), sealed[:40], b"", bytes(80)):
        with pytest.raises(DomainError) as refusal:
            open_pepper(asking, wrong)
        assert refusal.value.symbol == "FIELD_INVALID"
    with pytest.raises(DomainError) as refusal:
        seal_pepper(PEPPER, b"short")
    assert refusal.value.symbol == "FIELD_INVALID"
    assert fingerprint_of(public_key) != fingerprint_of(make_request(other))


def test_another_pepper_is_not_overwritten(tmp_path: Path) -> None:
    asking = ring(tmp_path / "asking")
    write_pepper(asking / PEPPER_NAME, bytes(PEPPER_BYTES))
    with pytest.raises(DomainError) as refusal:
        open_pepper(asking, seal_pepper(PEPPER, make_request(asking)))
    assert refusal.value.symbol == "ALREADY_EXISTS"
    assert read_pepper(asking / PEPPER_NAME) == bytes(PEPPER_BYTES)


@pytest.mark.parametrize("text", ["", "xyz", "00" * 31, "00" * 33])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / PEPPER_NAME
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(DomainError) as refusal:
        read_pepper(path)
    assert refusal.value.symbol == "KEY_FILE_INVALID"
    path.chmod(0o644)
    with pytest.raises(DomainError) as refusal:
        read_pepper(path)
    assert refusal.value.symbol == "KEY_FILE_PERMISSIONS"


def test_the_commands_carry_a_pepper_from_one_region_to_another(tmp_path: Path) -> None:
    giving, asking = ring(tmp_path / "giving"), ring(tmp_path / "asking")

    def run(*arguments: str, code: int = 0) -> dict[str, str]:
        done = CliRunner().invoke(main, ["tokens", "pepper", *arguments, "--json"])
        assert done.exit_code == code, done.output
        return dict(json.loads(done.output)) if code == 0 else {}

    made = run("make", "310000", "--ring", str(giving))
    run("make", "310000", "--ring", str(giving), code=1)
    asked = run("request", "440300", "--ring", str(asking), "--out", str(tmp_path / "request.txt"))
    seal = ("seal", "310000", str(tmp_path / "request.txt"), "--ring", str(giving))
    out = ("--out", str(tmp_path / "sealed.txt"))
    run(*seal, "--fingerprint", "0" * 32, *out, code=2)
    run(*seal, "--fingerprint", asked["fingerprint"], *out)
    opened = run("open", "440300", str(tmp_path / "sealed.txt"), "--ring", str(asking))
    shown = run("check", "440300", "--ring", str(asking))
    assert (
        made["check"] == opened["check"] == shown["check"] == pepper_check(read_pepper(giving / PEPPER_NAME))
    )
