"""`tanqiao witnesses`: who cosigns the bridge's log, and replacing them (PROTOCOL section 8)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import click

from tanqiao.api.bridge.v1 import log_pb2, messages_pb2, witness_groups_pb2
from tanqiao.cli.order_files import read_order, with_signature, words, write_order
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.keys import CARRIER, password
from tanqiao.cli.verbs.orders import authority_of, write_unsigned
from tanqiao.kernel.errors import DomainError

FILE: Final = click.Path(path_type=Path, dir_okay=False)
ID_BYTES: Final = 16


@click.group()
def witnesses() -> None:
    """Who cosigns the bridge's log: list the groups, replace the one that counts."""


@witnesses.command("list", cls=Verb)
@click.pass_obj
def list_groups(session: Session) -> None:
    """List the groups in the order of the log, with the size of the log from which each counts."""
    from tanqiao.signing.federation import FEDERATION_NAME, Federation
    from tanqiao.signing.witness_groups import change_of_leaf
    from tanqiao.tlog.leaf import decode_leaf

    first = Federation.load(session.home.path / "network" / FEDERATION_NAME).witness_group
    rows: list[tuple[object, ...]] = [("–", 0, "–", first.quorum, "\n".join(first.witnesses), "✓")]
    found: list[witness_groups_pb2.WitnessGroupChange] = []
    while page := _changes(session, found[-1].log_index if found else 0):
        found += page
    for one in found:
        change = change_of_leaf(decode_leaf(one.leaf), one.log_index)
        signed_by = "根密钥 roots" if change.by_roots else "审批人 approvers"
        names, shown = "\n".join(change.group.witnesses), "✓" if one.checkpoint else "–"
        rows.append((one.log_index, change.from_size, signed_by, change.group.quorum, names, shown))
    session.output.rows(
        ("序号 index", "起 from size", "签署 signed by", "法定 quorum", "见证方 witnesses", "见证 cosigned"),
        rows,
        json_value=message_fields(witness_groups_pb2.ListWitnessGroupsResponse(changes=found)),
    )


def _changes(session: Session, after_index: int) -> list[witness_groups_pb2.WitnessGroupChange]:
    request = witness_groups_pb2.ListWitnessGroupsRequest(after_log_index=after_index)
    return list(session.bridge.witness_groups.ListWitnessGroups(request).changes)


@witnesses.command(cls=Verb)
@click.argument("file", type=FILE)
@click.option("--witness", "parties", multiple=True, required=True, help="Each of the new group; repeatable.")
@click.option("--quorum", type=click.IntRange(min=1), help="How many make a leaf final. [default: majority]")
@click.option("--authority", required=True, help="Who signs first: a region, or bridge.")
@click.option("--replaces", type=click.IntRange(min=0), help="Log index of the group. [default: the newest]")
@click.option("--reason", required=True, help="Why, in words; it is signed.")
@click.option("--document", required=True, help="Reference of the document that it rests on.")
@click.option(
    "--key-epoch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Epoch of the approvers' keys, as `keys list` shows.",
)
@click.pass_obj
def prepare(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    file: Path,
    parties: tuple[str, ...],
    quorum: int | None,
    authority: str,
    replaces: int | None,
    reason: str,
    document: str,
    key_epoch: int,
) -> None:
    """Write a change that nobody has signed yet to FILE.

    Two approvers of each authority sign with `tanqiao approve`; or each root with `tanqiao witnesses sign`.
    """
    if replaces is None:
        answer = session.bridge.log.GetCheckpoint(log_pb2.GetCheckpointRequest())
        replaces = answer.witness_group_index
    record = messages_pb2.WitnessGroupRecord(
        change_id=secrets.token_bytes(ID_BYTES),
        witnesses=parties,
        quorum=quorum or len(parties) // 2 + 1,
        replaces_log_index=replaces,
        reason=reason,
        document=document,
    )
    write_unsigned(session, file, record, authority_of(authority), key_epoch, "bridge")


@witnesses.command(cls=Verb)
@click.argument("file", type=FILE)
@click.option("--root", "root_file", required=True, type=FILE, help="Encrypted root key file.")
@click.option("--password-file", type=FILE, help="Its password. [default: ask]")
@click.option("--yes", is_flag=True, help="Sign without asking, once you have read what it says.")
@click.pass_obj
def sign(session: Session, file: Path, root_file: Path, password_file: Path | None, yes: bool) -> None:
    """Sign the change in FILE with a root: where the group before is gone, every root signs."""
    from tanqiao.signing.root_file import open_root_file

    envelope, order = read_order(file)
    _require_change(order)
    if not session.output.as_json:
        session.output.answer(words(envelope, order))
    signed = with_signature(envelope, order, open_root_file(root_file, password(password_file)))
    if not yes:
        click.confirm("签署以上内容？ / Sign this?", abort=True, err=True)
    write_order(file, signed)
    session.output.answer({"已签 signed": words(signed, order)["已签 signed"]})


@witnesses.command(cls=Verb)
@click.argument("file", type=FILE)
@click.pass_obj
def submit(session: Session, file: Path) -> None:
    """Bring the signed change in FILE to the bridge."""
    envelope, order = read_order(file)
    _require_change(order)
    answer = session.as_party(CARRIER).bridge.witness_groups.ReplaceWitnessGroup(
        witness_groups_pb2.ReplaceWitnessGroupRequest(request_id=new_request_id(), record=envelope)
    )
    session.output.message(
        answer, {"日志序号 log index": answer.log_index, "起 counts from size": answer.from_size}
    )


def _require_change(order: object) -> None:
    if not isinstance(order, messages_pb2.WitnessGroupRecord):
        raise DomainError("MESSAGE_MALFORMED", detail=f"the file holds a {type(order).__name__}")
