"""`tanqiao keys`: the directory of keys, and what an authority does with its offline root.

A change of a key is a record signed by the root of the owner's authority. `announce`, `end`, `revoke` and
`rotate` sign and submit in one step; with `--out` they only sign, on a machine without network, and `submit`
hands the record in from another one.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import directory_pb2, log_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError

CARRIER: Final = "operator/310000/sh.centre"
"""Carries records to the bridge in a local federation; a record proves itself by its root's signature."""
RECORD_BYTES_MAX: Final = 64 * 1024
LOOK_AGAIN_SECONDS: Final = 0.5
END_MARGIN_LEAVES: Final = 50
"""A planned end lies a little ahead: the log grows between the look at its size and the record's own leaf."""
ROTATED: Final = ("message", "checkpoint", "witness")
ROLES: Final = ("message", "checkpoint", "witness", "approver", "root", "token", "body")

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def keys() -> None:
    """Keys of the federation: list, announce, end, rotate, revoke, and the offline root."""


def with_root(command: F) -> F:
    """Give a command the options that find the root, and that only sign."""
    for option in (
        click.option("--root", "root_file", type=click.Path(path_type=Path), help="Encrypted root key file."),
        click.option("--password-file", type=click.Path(path_type=Path), help="Its password. [default: ask]"),
        click.option("--out", type=click.Path(path_type=Path), help="Only sign, and write the record here."),
    ):
        command = option(command)
    return command


def one_key(command: F) -> F:
    """Give a command the options that name one key of a party."""
    with_epoch = click.option(
        "--epoch", type=click.IntRange(min=1), required=True, help="As `keys list` shows."
    )(command)
    with_holder = click.option("--holder", default="", help="Whose hand, where an epoch has two keys.")(
        with_epoch
    )
    return click.option(
        "--role", type=click.Choice(ROLES), default="message", show_default=True, help="What the key signs."
    )(with_holder)


@keys.command("list", cls=Verb)
@click.option("--owner", default="", help="Only of this party: region/310000, bridge, authority/bridge.")
@click.pass_obj
def list_keys(session: Session, owner: str) -> None:
    """Show every key with its role, epoch and the log indexes between which it counts."""
    answer = session.bridge.directory.ListKeys(directory_pb2.ListKeysRequest(owner=owner))
    session.output.rows(
        ("所有者 owner", "用途 role", "期 epoch", "起 from", "止 to", "状态 state", "密钥号 key id"),
        [
            (
                key.owner,
                messages_pb2.KeyRole.Name(key.role).removeprefix("KEY_ROLE_").lower(),
                key.key_epoch,
                key.valid_from_index,
                key.valid_to_index or "–",
                "已撤销 revoked" if key.revoked else "有效 valid",
                key.key_id.hex(),
            )
            for key in answer.keys
        ],
        json_value=message_fields(answer),
    )


@keys.command(cls=Verb)
@click.argument("party")
@click.option(
    "--role", type=click.Choice(ROLES), default="message", show_default=True, help="What the key signs."
)
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.option("--holder", default="", help="Whose hand an approver's or a body's key is in.")
@click.option(
    "--valid-from", type=click.IntRange(min=0), default=0, help="First log index. [default: at once]"
)
@with_root
@click.pass_obj
def announce(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    party: str,
    role: str,
    ring: Path | None,
    holder: str,
    valid_from: int,
    root_file: Path | None,
    password_file: Path | None,
    out: Path | None,
) -> None:
    """Make the next key of PARTY in its ring, and announce it; the node takes it when it begins."""
    from tanqiao.signing.directory import KeyRole
    from tanqiao.signing.keyring import Keyring

    if ring is not None:
        Keyring.create(ring, party)
    directory = ring or ring_of(session, party)
    key = Keyring.add_key(directory, KeyRole[role.upper()])
    entry = replace(key.entry(valid_from_index=valid_from), holder=holder)
    _sign(session, entry, root_file, password_file, out)


@keys.command(cls=Verb)
@click.argument("party")
@one_key
@with_root
@click.pass_obj
def end(
    session: Session,
    party: str,
    role: str,
    epoch: int,
    holder: str,
    root_file: Path | None,
    password_file: Path | None,
    out: Path | None,
) -> None:
    """End a key as planned; KEY_IN_USE while undecided transfers rest on it, or claims on a token key."""
    entry = find_entry(session, party, role, epoch, holder)
    _sign(session, replace(entry, valid_to_index=end_index(session)), root_file, password_file, out)


@keys.command(cls=Verb)
@click.argument("party")
@one_key
@with_root
@click.pass_obj
def revoke(
    session: Session,
    party: str,
    role: str,
    epoch: int,
    holder: str,
    root_file: Path | None,
    password_file: Path | None,
    out: Path | None,
) -> None:
    """Revoke a key at once: undecided transfers that rest on it are aborted, and those that come later."""
    entry = find_entry(session, party, role, epoch, holder)
    _sign(session, replace(entry, revoked=True), root_file, password_file, out)


@keys.command(cls=Verb)
@click.argument("party")
@click.option("--ring", type=click.Path(path_type=Path), help="Key ring. [default: of the local node]")
@click.option(
    "--role", type=click.Choice(ROTATED), default="message", show_default=True, help="What the key signs."
)
@click.option(
    "--wait-seconds",
    type=click.IntRange(min=0),
    default=60,
    show_default=True,
    help="How long to wait for the node to take the new key.",
)
@with_root
@click.pass_obj
def rotate(
    session: Session,
    party: str,
    role: str,
    ring: Path | None,
    wait_seconds: int,
    root_file: Path | None,
    password_file: Path | None,
    out: Path | None,
) -> None:
    """Announce the next key of PARTY, and end the old one once nothing undecided rests on it.

    A checkpoint key ends when the log is signed with the next one too, and its witnesses have cosigned that.
    """
    from tanqiao.signing.directory import KeyRole
    from tanqiao.signing.keyring import Keyring

    if out is not None:
        raise click.UsageError("rotate signs two records, the second later: use announce --out and end --out")
    old = [entry for entry in entries_of(session, party) if entry.role is KeyRole[role.upper()]]
    living = [entry for entry in old if not entry.revoked and entry.valid_to_index is None]
    root = root_for(session, party, root_file, password_file)
    key = Keyring.add_key(ring or ring_of(session, party), KeyRole[role.upper()])
    _submit(session, _record(session, root, key.entry()))
    deadline = time.monotonic() + wait_seconds
    while role == "checkpoint" and party == "bridge" and not _is_log_signed_with(session, key.entry()):
        if time.monotonic() > deadline:
            raise DomainError("KEY_IN_USE", key_id=living[-1].key_id if living else b"", count=0)
        session.output.step("新密钥尚未签署日志，等待 / the log is not signed with the next key yet, waiting")
        time.sleep(LOOK_AGAIN_SECONDS)
    for entry in living:
        while True:
            try:
                _submit(session, _record(session, root, replace(entry, valid_to_index=end_index(session))))
                break
            except DomainError as refusal:
                if refusal.symbol not in ("KEY_IN_USE", "KEY_INDEX_PAST") or time.monotonic() > deadline:
                    raise
            session.output.step("旧密钥仍在使用，等待 / the old key is still in use, waiting")
            time.sleep(LOOK_AGAIN_SECONDS)
    session.output.answer({"owner": party, "key_id": key.signer.key_id.hex(), "epoch": key.signer.key_epoch})


@keys.command(cls=Verb)
@click.argument("record", type=click.Path(path_type=Path))
@click.pass_obj
def submit(session: Session, record: Path) -> None:
    """Hand in a RECORD that was signed elsewhere."""
    data = record.read_bytes()[: RECORD_BYTES_MAX + 1]
    try:
        envelope = envelope_pb2.Envelope.FromString(base64.b64decode(data, validate=False))
    except (ValueError, DecodeError) as error:
        raise DomainError("FIELD_INVALID", field="record", detail=f"{record} is no signed record") from error
    _submit(session, envelope, show=True)


@keys.group("root")
def root_group() -> None:
    """The offline root of an authority in an encrypted file of its own."""


@root_group.command("export", cls=Verb)
@click.argument("authority")
@click.option("--ring", type=click.Path(path_type=Path), help="Ring of the root. [default: local federation]")
@click.option("--password-file", type=click.Path(path_type=Path), help="Password. [default: ask twice]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New file.")
@click.pass_obj
def export(
    session: Session, authority: str, ring: Path | None, password_file: Path | None, out: Path
) -> None:
    """Seal the root of AUTHORITY into a file under a password; then take the ring off this machine."""
    from tanqiao.signing.directory import KeyRole
    from tanqiao.signing.keyring import Keyring, load_private_key
    from tanqiao.signing.root_file import write_root_file

    directory = ring or session.home.path / "authorities" / authority.rpartition("/")[2] / "root"
    root = Keyring.open(directory).key(KeyRole.ROOT)
    if root.signer.owner != authority:
        raise DomainError("KEY_FILE_INVALID", file=directory, detail=f"the root of {root.signer.owner}")
    private_key = load_private_key(directory / f"root-{root.signer.key_epoch}.key")
    word = password(password_file, confirm=True)
    write_root_file(out, authority, root.signer.key_epoch, root.suite, private_key, word)
    session.output.answer({"owner": authority, "file": str(out), "key_id": root.signer.key_id.hex()})


@root_group.command("check", cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--password-file", type=click.Path(path_type=Path), help="Password. [default: ask]")
@click.pass_obj
def check(session: Session, file: Path, password_file: Path | None) -> None:
    """Open a root key FILE with its password and say whose root it holds; nothing is written or sent."""
    from tanqiao.signing.root_file import open_root_file

    root = open_root_file(file, password(password_file))
    signer = root.signer
    session.output.answer({"owner": signer.owner, "epoch": signer.key_epoch, "key_id": signer.key_id.hex()})


# -- helpers -------------------------------------------------------------------------------------------------


def password(file: Path | None, *, confirm: bool = False) -> str:
    """Read a password from the first line of a file, or ask for it."""
    if file is not None:
        return file.read_text(encoding="utf-8").split("\n", 1)[0]
    asked: str = click.prompt("口令 Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return asked


def ring_of(session: Session, party: str) -> Path:
    """Give the ring of a node of the local federation.

    Raises:
        DomainError: NOT_FOUND for a party that has none.
    """
    network = session.home.network()
    if party not in {owner for _, owner in network.plan.nodes()}:
        raise DomainError("NOT_FOUND", what="node", id=party)
    return network.node(party) / "keys"


def root_for(session: Session, owner: str, root_file: Path | None, password_file: Path | None) -> Any:  # noqa: ANN401 - a StoredKey, loaded late
    """Open the root that vouches for a party: the encrypted file, or the local federation's ring."""
    from tanqiao.signing.federation import authority_of
    from tanqiao.signing.root_file import open_root_file

    if root_file is None:
        return session.home.network().root(authority_of(owner))
    return open_root_file(root_file, password(password_file))


def entries_of(session: Session, owner: str) -> list[Any]:
    """Give the keys of a party as the bridge's directory has them."""
    from tanqiao.signing.directory import KeyEntry, KeyRole

    answer = session.bridge.directory.ListKeys(directory_pb2.ListKeysRequest(owner=owner))
    return [
        KeyEntry(
            key.owner,
            KeyRole(key.role),
            key.suite,
            key.public_key,
            key.key_epoch,
            key.valid_from_index,
            key.valid_to_index or None,
            key.revoked,
            messages_pb2.KeyRecord.FromString(key.record.payload).holder,
        )
        for key in answer.keys
    ]


def find_entry(session: Session, party: str, role: str, epoch: int, holder: str = "") -> Any:  # noqa: ANN401 - a KeyEntry, loaded late
    """Find the key of a party by role, epoch and, if given, holder; NOT_FOUND where there is none."""
    for entry in entries_of(session, party):
        if (entry.role.name.lower(), entry.epoch) == (role, epoch) and holder in ("", entry.holder):
            return entry
    raise DomainError("NOT_FOUND", what="key", id=f"{party} {role} {epoch}")


def _is_log_signed_with(session: Session, entry: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a checkpoint of the bridge that is as final as it gets bears a line of the key."""
    from tanqiao.signing.logs import note_key
    from tanqiao.tlog.note import parse_note

    answer = session.bridge.log.GetCheckpoint(log_pb2.GetCheckpointRequest())
    note = answer.cosigned_checkpoint if answer.quorum else answer.checkpoint
    key = note_key(session.home.network_id, entry)
    return bool(note) and any(line.is_by(key) for line in parse_note(note).signatures)


def end_index(session: Session) -> int:
    """Give the log index at which a key ends that is ended now."""
    status = session.bridge.decisions.GetLogStatus(directory_pb2.GetLogStatusRequest())
    return int(status.log_size) + END_MARGIN_LEAVES


def _record(session: Session, root: Any, entry: Any) -> envelope_pb2.Envelope:  # noqa: ANN401 - as above
    from tanqiao.signing.provision import sign_key_record

    return sign_key_record(session.home.network_id, root, entry)


def _sign(
    session: Session,
    entry: Any,  # noqa: ANN401 - as above
    root_file: Path | None,
    password_file: Path | None,
    out: Path | None,
) -> None:
    record = _record(session, root_for(session, entry.owner, root_file, password_file), entry)
    if out is None:
        _submit(session, record, show=True)
        return
    out.write_bytes(base64.encodebytes(record.SerializeToString()))
    session.output.answer({"owner": entry.owner, "key_id": entry.key_id.hex(), "record": str(out)})


def _submit(session: Session, record: envelope_pb2.Envelope, *, show: bool = False) -> None:
    stub = session.as_party(CARRIER).bridge.directory
    request = directory_pb2.SubmitKeyRecordRequest(request_id=new_request_id(), record=record)
    answer = stub.SubmitKeyRecord(request)
    if show:
        fields = {"owner": answer.key.owner, "key_id": answer.key.key_id.hex(), "log_index": answer.log_index}
        session.output.message(answer, fields)
