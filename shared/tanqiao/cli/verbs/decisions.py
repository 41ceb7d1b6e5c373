"""`tanqiao decision`: what two bodies of a region sign with keys of their own, from hand to hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from google.protobuf.json_format import MessageToJson

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2, dossiers_pb2, scenes_pb2
from tanqiao.cli.acting import acting, client_for
from tanqiao.cli.order_files import read_decision, write_order
from tanqiao.cli.order_words import decision_words
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import DECISION_TYPE, of_request
from tanqiao.signing.decision_evidence import check_evidence, read_evidence

ID_BYTES: Final = 16
PAGE_SIZE: Final = 500
DECISIONS_MAX: Final = 10_000
"""Most decisions that one file takes."""
F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(path_type=Path, dir_okay=False)
until_option: Final = click.option(
    "--until",
    type=click.DateTime(("%Y-%m-%dT%H:%M:%S%z",)),
    help="When a decision that is signed and not taken ceases to count: 2026-03-02T18:00:00+0800.",
)


@click.group()
def decision() -> None:
    """Decisions of two bodies: `scene prepare`, `dossier prepare`, then `approve` by each, then `submit`."""


@decision.command("submit", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--as", "role", help="Who brings it. [default: the body that signed first]")
@click.pass_obj
def submit(session: Session, file: Path, role: str | None) -> None:
    """Bring the decision in FILE to its region's node, with one signature or with both."""
    envelope, signed = read_decision(file)
    _, code, first = signed.header.sender.split("/")
    client = session.as_operator(require_region(code), role or first)
    if signed.kind == decisions_pb2.BODY_DECISION_KIND_SCENE:
        scene_request = scenes_pb2.SignSceneDecisionRequest(
            request_id=new_request_id(),
            decision=scenes_pb2.SceneDecision.FromString(signed.content),
            statement=envelope,
        )
        session.output.message(client.scenes.SignSceneDecision(scene_request))
        return
    if signed.kind != decisions_pb2.BODY_DECISION_KIND_DOSSIER:
        raise DomainError("FIELD_INVALID", field="kind", detail="an approval goes with its request")
    request = dossiers_pb2.SignStepRequest.FromString(signed.content)
    request.request_id = new_request_id()
    request.statement.CopyFrom(envelope)
    session.output.message(client.dossiers.SignStep(request))


@decision.command("list", cls=Verb)
@acting
@click.argument("object_id")
@click.option("--out", type=FILE, help="Write what was signed, with the signers' key records, to this file.")
@click.pass_obj
def list_decisions(
    session: Session, region_name: str, role: str | None, object_id: str, out: Path | None
) -> None:
    """List what bodies have signed about a scene, dossier, parameter, project, account or certificate."""
    client = client_for(session, region_name, "accounts", role)
    found: list[decisions_pb2.KeptDecision] = []
    token = ""
    while True:
        answer = client.body_decisions.ListBodyDecisions(
            decisions_pb2.ListBodyDecisionsRequest(object_id=object_id, page_size=PAGE_SIZE, page_token=token)
        )
        found += answer.decisions
        token = answer.next_page_token
        if not token or len(found) >= DECISIONS_MAX:
            break
    evidence = decisions_pb2.DecisionEvidence(network_id=session.home.network_id, decisions=found)
    if out is not None:
        signers = {one.key_id for kept in found for one in kept.statement.signatures}
        keys = session.bridge.directory.ListKeys(directory_pb2.ListKeysRequest()).keys
        roots = [key for key in keys if key.role == messages_pb2.KEY_ROLE_ROOT and key.record.payload]
        roots.sort(key=lambda key: key.key_epoch)
        evidence.key_records.extend(key.record for key in roots)
        evidence.key_records.extend(key.record for key in keys if key.key_id in signers)
        out.write_text(MessageToJson(evidence, indent=2) + "\n", encoding="utf-8")
    session.output.rows(
        ("决定 decision", "种类 kind", "签名 signed by", "目录序号 log index"),
        [
            (
                one.message_hash.hex(),
                _signed(one).kind,
                ", ".join(signature.key_id.hex() for signature in one.statement.signatures),
                one.log_index,
            )
            for one in found
        ],
        json_value=message_fields(evidence),
    )


def _signed(kept: decisions_pb2.KeptDecision) -> decisions_pb2.BodyDecision:
    return decisions_pb2.BodyDecision.FromString(kept.statement.payload)


@decision.command("check", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--federation", type=FILE, help="Roots of the authorities. [default: of the local federation]")
@click.pass_obj
def check(session: Session, file: Path, federation: Path | None) -> None:
    """Check the decisions in FILE without a node: whose signatures stand under them, whether they hold."""
    from tanqiao.signing.federation import FEDERATION_NAME, Federation

    roots = Federation.load(federation or session.home.path / "network" / FEDERATION_NAME)
    checked = check_evidence(read_evidence(file), roots)
    session.output.rows(
        ("决定 decision", "对象 object", "签名 signed by", "已吊销 revoked since", "目录序号 log index"),
        [
            (
                one.message_hash.hex(),
                one.object_id,
                ", ".join(one.hands),
                ", ".join(one.revoked) or "–",
                one.log_index,
            )
            for one in checked
        ],
    )


def write_decision(
    session: Session,
    file: Path,
    to_sign: decisions_pb2.BodyDecision,
    first: str,
    *,
    until: datetime | None = None,
    key_epoch: int = 1,
) -> None:
    """Write a decision that nobody has signed yet, and show in words what it says.

    Args:
        session: where the answer is shown.
        file: where it is written.
        to_sign: as the node gave it, or as it follows from a request.
        first: the body whose officer signs first, ``operator/310000/sh.centre``.
        until: when it ceases to count.
        key_epoch: of that officer's key.
    """
    to_sign.header.CopyFrom(
        envelope_pb2.Header(
            network_id=session.home.network_id,
            sender=first,
            audience=(f"region/{first.split('/')[1]}",),
            message_id=secrets.token_bytes(ID_BYTES),
            key_epoch=key_epoch,
        )
    )
    if until is not None:
        to_sign.expire_time.FromDatetime(until)
    envelope = envelope_pb2.Envelope(payload=to_sign.SerializeToString(), payload_type=DECISION_TYPE)
    write_order(file, envelope)
    session.output.answer(decision_words(envelope, to_sign))


def approval_options(command: F) -> F:
    """Give a command the options by which two approve its request."""
    prepare = click.option(
        "--prepare", type=FILE, help="Only write to this file what two officers sign (`approve`)."
    )
    return prepare(click.option("--approval", type=FILE, help="The file, once both have signed.")(command))


def is_only_prepared(
    session: Session,
    request: Any,  # noqa: ANN401 - any request that has an approval
    kind: decisions_pb2.BodyDecisionKind.ValueType,
    object_id: str,
    first: str,
    values: dict[str, Any],
) -> bool:
    """Write what two officers sign, or put their approval into the request; whether it was only written.

    Args:
        session: where the answer is shown.
        request: as it will be sent.
        kind: of the decision.
        object_id: what it is about.
        first: the body whose officer signs first.
        values: of the options.
    """
    if values["prepare"] is not None:
        to_sign = of_request(kind, object_id, request, datetime.now(UTC))
        write_decision(session, values["prepare"], to_sign, first)
        return True
    if values["approval"] is not None:
        request.approval.CopyFrom(read_decision(values["approval"])[0])
    return False
