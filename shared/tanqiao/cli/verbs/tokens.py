"""`tanqiao tokens`: key epochs of the tokens of persons and vehicles, and the pepper of the regions."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path
from typing import Final

import click

from tanqiao.api.bridge.v1 import tokens_pb2
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.keys import ring_of
from tanqiao.kernel.errors import DomainError

FILE_BYTES_MAX: Final = 4_096


@click.group()
def tokens() -> None:
    """Tokens of persons, households and vehicles: key epochs, and the regions' pepper."""


@tokens.command("status", cls=Verb)
@click.pass_obj
def status(session: Session) -> None:
    """Show the key epochs that count, and the live claims that rest on each."""
    answer = session.bridge.tokens.GetTokenStatus(tokens_pb2.GetTokenStatusRequest())
    session.output.rows(
        ("密钥期 epoch", "所依主张 resting claims", "密钥号 key id"),
        [(one.key_epoch, one.resting_claims, one.key_id.hex()) for one in answer.epochs],
        json_value=message_fields(answer),
    )


@tokens.group()
def pepper() -> None:
    """The secret that the regions share and the bridge never has; sealed from region to region."""


@pepper.command("make", cls=Verb)
@click.argument("region")
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.pass_obj
def make(session: Session, region: str, ring: Path | None) -> None:
    """Make the federation's pepper, once, at one REGION; the others ask it for theirs."""
    from tanqiao.signing.pepper import PEPPER_BYTES, PEPPER_NAME, pepper_check, write_pepper

    path = _ring(session, region, ring) / PEPPER_NAME
    if path.exists():
        raise DomainError("ALREADY_EXISTS", what="pepper", id=path)
    made = secrets.token_bytes(PEPPER_BYTES)
    write_pepper(path, made)
    session.output.answer({"file": str(path), "check": pepper_check(made)})


@pepper.command("check", cls=Verb)
@click.argument("region")
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.pass_obj
def check(session: Session, region: str, ring: Path | None) -> None:
    """Show the check characters of a REGION's pepper; they are the same in every region."""
    from tanqiao.signing.pepper import PEPPER_NAME, pepper_check, read_pepper

    path = _ring(session, region, ring) / PEPPER_NAME
    session.output.answer({"file": str(path), "check": pepper_check(read_pepper(path))})


@pepper.command("request", cls=Verb)
@click.argument("region")
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The request, for the other region."
)
@click.pass_obj
def request(session: Session, region: str, ring: Path | None, out: Path) -> None:
    """Ask another region for the pepper; tell it the fingerprint by another way than the file."""
    from tanqiao.signing.pepper import fingerprint_of, make_request

    public_key = make_request(_ring(session, region, ring))
    out.write_bytes(base64.encodebytes(public_key))
    session.output.answer({"request": str(out), "fingerprint": fingerprint_of(public_key)})


@pepper.command("seal", cls=Verb)
@click.argument("region")
@click.argument("request_file", metavar="REQUEST", type=click.Path(path_type=Path))
@click.option("--fingerprint", required=True, help="As the other region told it.")
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The sealed pepper.")
@click.pass_obj
def seal(
    session: Session, region: str, request_file: Path, fingerprint: str, ring: Path | None, out: Path
) -> None:
    """Seal the pepper of a REGION for a REQUEST whose fingerprint was told."""
    from tanqiao.signing.pepper import PEPPER_NAME, fingerprint_of, pepper_check, read_pepper, seal_pepper

    public_key = _read(request_file)
    if fingerprint_of(public_key) != fingerprint.strip().lower():
        raise DomainError("FIELD_INVALID", field="fingerprint", detail="the request is another one")
    own = read_pepper(_ring(session, region, ring) / PEPPER_NAME)
    out.write_bytes(base64.encodebytes(seal_pepper(own, public_key)))
    session.output.answer({"sealed": str(out), "check": pepper_check(own)})


@pepper.command("open", cls=Verb)
@click.argument("region")
@click.argument("sealed", type=click.Path(path_type=Path))
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.pass_obj
def open_sealed(session: Session, region: str, sealed: Path, ring: Path | None) -> None:
    """Open the SEALED pepper in a REGION that asked for it; compare the check characters."""
    from tanqiao.signing.pepper import open_pepper, pepper_check

    opened = open_pepper(_ring(session, region, ring), _read(sealed))
    session.output.answer({"check": pepper_check(opened)})


def _ring(session: Session, region: str, ring: Path | None) -> Path:
    return ring or ring_of(session, f"region/{require_region(region).code}")


def _read(path: Path) -> bytes:
    try:
        return base64.b64decode(b"".join(path.read_bytes()[:FILE_BYTES_MAX].split()), validate=True)
    except FileNotFoundError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except binascii.Error as error:
        raise DomainError("FIELD_INVALID", field="file", detail=f"{path} is no base64") from error
