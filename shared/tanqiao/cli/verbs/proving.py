"""`tanqiao prove`: fetch a proof from the bridge, check it as a stranger would, and write it to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tanqiao.cli.session import Session, require_region
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError

RULE_FILES_MAX: Final = 256
HEX_OF_ID: Final = 32

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def prove() -> None:
    """Write proof files that `tanqiao verify` checks offline (生成可离线验证的证明文件)."""


def out_option(command: F) -> F:
    """Give a command the options ``--out`` and ``--policy``."""
    with_policy = click.option(
        "--policy",
        "policy_file",
        type=click.Path(path_type=Path),
        help="Policy under which the file must hold. [default: of the network's own file]",
    )(command)
    return click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")(
        with_policy
    )


def of_transfer(command: F) -> F:
    """Give a command a transfer: its source and id."""
    with_id = click.option("--transfer-id", required=True, help="32 hexadecimal digits.")(command)
    return click.option("--source", required=True, help="Region that the units came from.")(with_id)


@prove.command(cls=Verb)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.pass_obj
def policy(session: Session, out: Path) -> None:
    """Write the policy: the bridge's log, the witnesses and their quorum, as they stand now.

    The network's own file is believed; later keys and witnesses count by what roots and witnesses signed.
    """
    out.write_bytes(_own_policy(session))
    session.output.answer({"file": str(out)})


@prove.command(cls=Verb)
@of_transfer
@click.option("--as", "party", help="Party that asks: source or destination get the openings.")
@out_option
@click.pass_obj
def title(
    session: Session, source: str, transfer_id: str, party: str | None, out: Path, policy_file: Path | None
) -> None:
    """Prove that a transfer is final: who gave, who holds, which units."""
    _write_decision(session, "title", source, transfer_id, out, policy_file, party=party)


@prove.command(cls=Verb)
@of_transfer
@click.option("--beneficiary", help="Name to open the commitment with.")
@click.option("--salt", help="Its salt: 32 hexadecimal digits.")
@out_option
@click.pass_obj
def retirement(
    session: Session,
    source: str,
    transfer_id: str,
    beneficiary: str | None,
    salt: str | None,
    out: Path,
    policy_file: Path | None,
) -> None:
    """Prove a retirement or cancellation, with its purpose; with the opening, for which beneficiary."""
    opening = b"" if beneficiary is None else beneficiary.encode() + _hex(salt or "", "salt")
    _write_decision(session, "retirement", source, transfer_id, out, policy_file, beneficiary=opening)


@prove.command(cls=Verb)
@of_transfer
@click.option("--pack", required=True, type=click.Path(path_type=Path, file_okay=False), help="Rule pack.")
@out_option
@click.pass_obj
def rules(
    session: Session, source: str, transfer_id: str, pack: Path, out: Path, policy_file: Path | None
) -> None:
    """Prove which rule texts were applied: the law files of a PACK, as their digest was signed."""
    _write_decision(session, "rules", source, transfer_id, out, policy_file, texts=_texts_of(pack))


@prove.command(cls=Verb)
@of_transfer
@out_option
@click.pass_obj
def decision(session: Session, source: str, transfer_id: str, out: Path, policy_file: Path | None) -> None:
    """Prove that a transfer was decided once, by the whole log."""
    from tanqiao.offline.replay import Claim

    claim = Claim(require_region(source).party, _hex(transfer_id, "transfer_id"))
    _write_replay(session, "decision", claim, out, policy_file)


@prove.command(cls=Verb)
@click.argument("series")
@click.argument("serial", type=click.IntRange(min=0))
@click.option("--root", is_flag=True, help="By a location root: a small file, no whole log.")
@click.option("--before", type=click.IntRange(min=1), help="With --root: the newest root before this index.")
@out_option
@click.pass_obj
def location(
    session: Session,
    series: str,
    serial: int,
    out: Path,
    policy_file: Path | None,
    before: int | None,
    *,
    root: bool,
) -> None:
    """Prove where unit SERIAL of SERIES is, by the whole log or by a location root."""
    from tanqiao.offline.replay import Claim

    claim = Claim(series_id=series, serial=serial)
    if root:
        _write_location(session, claim, before or 0, out, policy_file)
    elif before is not None:
        raise DomainError("FIELD_INVALID", field="--before", detail="it goes with --root")
    else:
        _write_replay(session, "location", claim, out, policy_file)


@prove.command(cls=Verb)
@click.argument("series")
@out_option
@click.pass_obj
def conservation(session: Session, series: str, out: Path, policy_file: Path | None) -> None:
    """Prove that nothing of SERIES was lost or made twice, by the whole log."""
    from tanqiao.offline.replay import Claim

    _write_replay(session, "conservation", Claim(series_id=series), out, policy_file)


@prove.command(cls=Verb)
@click.option(
    "--at", "log_index", type=click.IntRange(min=1), help="Log index of the change. [default: newest]"
)
@out_option
@click.pass_obj
def handover(session: Session, log_index: int | None, out: Path, policy_file: Path | None) -> None:
    """Prove that the witnesses were replaced, to who has the policy from before.

    `tanqiao verify FILE --policy OLD --policy-out NEW` gives him the next policy.
    """
    from tanqiao.api.bridge.v1 import log_pb2
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import make_handover
    from tanqiao.tlog.errors import TlogError

    if log_index is None:
        answer = session.bridge.log.GetCheckpoint(log_pb2.GetCheckpointRequest())
        log_index = answer.witness_group_index
    log = ServedLog(session.bridge)
    changed, note = log.handover(log_index)
    try:
        data, report = make_handover(log, changed, note, policy_of(session, policy_file))
    except TlogError as refusal:
        raise not_proven(refusal) from None
    out.write_bytes(data)
    _answer(session, report.statement, out, len(data))


@prove.command(cls=Verb)
@click.argument("case_id", type=click.IntRange(min=1))
@click.option("--as", "party", help="Office that asks. [default: reader/national]")
@out_option
@click.pass_obj
def conflict(session: Session, case_id: int, party: str | None, out: Path, policy_file: Path | None) -> None:
    """Write the evidence of one conflict, for a court: case, claims, receipts, resolution, rows of lists.

    `tanqiao verify FILE` checks it offline. What a list said is stated by the bridge with the day and the
    digest of the list; everything else stands in the log.
    """
    from tanqiao.api.bridge.v1 import conflicts_pb2
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import make_conflict_proof
    from tanqiao.tlog.errors import TlogError

    bridge = session.bridge if party is None else session.as_party(party).bridge
    stated = bridge.conflicts.GetConflictPack(conflicts_pb2.GetConflictPackRequest(case_id=case_id))
    try:
        data, report = make_conflict_proof(
            ServedLog(bridge), stated.envelope, policy_of(session, policy_file)
        )
    except TlogError as refusal:
        raise not_proven(refusal) from None
    out.write_bytes(data)
    _answer(session, report.statement, out, len(data))


def policy_of(session: Session, named: Path | None) -> bytes:
    """Give the policy under which a file is checked before it is written; FILE_MISSING where it is not."""
    if named is None:
        return _own_policy(session)
    try:
        return named.read_bytes()
    except OSError as error:
        raise DomainError("FILE_MISSING", file=named) from error


def _own_policy(session: Session) -> bytes:
    """Make the policy of the home's own federation file and of what came later, as far as it is proven."""
    from tanqiao.client.policies import policy_now
    from tanqiao.signing.federation import FEDERATION_NAME, Federation
    from tanqiao.tlog.errors import TlogError

    federation = Federation.load(session.home.path / "network" / FEDERATION_NAME)
    try:
        return policy_now(federation, session.bridge).encode()
    except TlogError as refusal:
        raise not_proven(refusal) from None


def _write_decision(  # noqa: PLR0913 - what the three kinds differ in
    session: Session,
    kind: str,
    source: str,
    transfer_id: str,
    out: Path,
    policy_file: Path | None,
    *,
    party: str | None = None,
    beneficiary: bytes = b"",
    texts: tuple[tuple[str, bytes], ...] = (),
) -> None:
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import Openings, make_decision_proof
    from tanqiao.tlog.errors import TlogError

    bridge = session.bridge if party is None else session.as_party(party).bridge
    log = ServedLog(bridge)
    served, openings = log.decision(require_region(source).party, _hex(transfer_id, "transfer_id"))
    if beneficiary:
        openings = Openings(owner=openings.owner, beneficiary=beneficiary)
    try:
        data, report = make_decision_proof(
            log, kind, served, policy_of(session, policy_file), openings=openings, rules=texts
        )
    except TlogError as refusal:
        raise not_proven(refusal) from None
    out.write_bytes(data)
    _answer(session, report.statement, out, len(data))


def _write_location(
    session: Session,
    claim: Any,  # noqa: ANN401 - a Claim, loaded late
    before_index: int,
    out: Path,
    policy_file: Path | None,
) -> None:
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import make_location_root_proof
    from tanqiao.tlog.errors import TlogError

    log = ServedLog(session.bridge)
    found = log.location(claim, before_index)
    try:
        data, report = make_location_root_proof(log, claim, *found, policy_of(session, policy_file))
    except TlogError as refusal:
        raise not_proven(refusal) from None
    out.write_bytes(data)
    _answer(session, report.statement, out, len(data))


def _write_replay(session: Session, kind: str, claim: Any, out: Path, policy_file: Path | None) -> None:  # noqa: ANN401 - a Claim, loaded late
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import write_replay
    from tanqiao.tlog.errors import TlogError

    try:
        report = write_replay(ServedLog(session.bridge), kind, claim, policy_of(session, policy_file), out)
    except TlogError as refusal:
        raise not_proven(refusal) from None
    _answer(session, report.statement, out, out.stat().st_size)


def _answer(session: Session, statement: tuple[str, str] | None, out: Path, size_bytes: int) -> None:
    english, chinese = statement or ("", "")
    session.output.answer(
        {"file": str(out), "bytes": size_bytes, "statement_zh": chinese, "statement_en": english}
    )


def not_proven(refusal: Any) -> DomainError:  # noqa: ANN401 - a TlogError, loaded late
    """Give the refusal of a file that proves nothing."""
    return DomainError("PROOF_INVALID", detail=f"{refusal.reason}: {refusal.sentence_in('en')}")


def _hex(text: str, field: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(text) != HEX_OF_ID or not value:
        raise DomainError("FIELD_INVALID", field=field, detail="32 hexadecimal digits are wanted")
    return value


def _texts_of(pack: Path) -> tuple[tuple[str, bytes], ...]:
    """Read the law files of a pack: what its digest stands over (rule packs in docs/adding-a-region.md)."""
    found = [
        path
        for path in sorted(pack.rglob("*"))
        if path.is_file()
        and path.suffix in (".toml", ".py")
        and path.relative_to(pack).parts[0] not in ("cases", "__pycache__")
    ]
    if not found or len(found) > RULE_FILES_MAX:
        raise DomainError("FIELD_INVALID", field="pack", detail=f"{len(found)} law files in {pack}")
    return tuple((path.relative_to(pack).as_posix(), path.read_bytes()) for path in found)
