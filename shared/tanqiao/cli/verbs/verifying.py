"""`tanqiao verify FILE`: check a proof file with a policy; no network, no database, nobody to ask."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, NoReturn

import click

EXIT_REFUSED: Final = 1
EXIT_UNREADABLE: Final = 2
POLICY_NAME: Final = "federation.policy"
POLICY_BYTES_MAX: Final = 256 * 1024
LEAF_BYTES_MAX: Final = 64 * 1024

EPILOG: Final = """\b
Exit codes / 退出码:
  0  every check held; what is proven is printed 全部检查成立，并打印已证明的内容
  1  the file proves nothing, for the reason printed 文件不成立，并打印原因
  2  a file cannot be read, or there is no policy 文件无法读取或缺少策略
"""


@click.command("verify", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help=f"Logs, witnesses and quorum that you trust. [default: {POLICY_NAME} beside FILE]",
)
@click.option(
    "--leaf", type=click.Path(path_type=Path), help="The leaf that a bare C2SP tlog-proof is about."
)
@click.option(
    "--policy-out",
    type=click.Path(path_type=Path),
    help="Of a handover: write the policy that follows from yours to this file.",
)
@click.option("--language", type=click.Choice(["zh", "en"]), help="Of the report. [default: as LANG]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, in both languages.")
def verify_command(
    file: Path,
    policy: Path | None,
    leaf: Path | None,
    policy_out: Path | None,
    language: str | None,
    as_json: bool,
) -> None:
    """Check a proof FILE offline: title, retirement, decision, location, conservation, rules, misbehaviour.

    A handover gives the policy that follows from yours.
    离线验证证明文件：权属、注销使用、唯一决定、位置、守恒、规则文本、不当行为；见证方移交文件给出后续策略。
    """
    from tanqiao.offline.verify import verify_stream

    policy_data = _read(policy or file.parent / POLICY_NAME, POLICY_BYTES_MAX)
    leaf_data = None if leaf is None else _read(leaf, LEAF_BYTES_MAX)
    try:
        with file.open("rb") as stream:
            report = verify_stream(stream, policy_data, leaf=leaf_data)
    except OSError as error:
        _stop(f"{file}: {error.strerror or 'cannot be read'}")
    if as_json:
        click.echo(json.dumps(report.document(), ensure_ascii=False, indent=2))
    else:
        spoken = language or ("zh" if os.environ.get("LANG", "").startswith("zh") else "en")
        for line in report.lines("zh" if spoken == "zh" else "en"):
            click.echo(line)
    if report.holds and policy_out is not None:
        if not report.policy:
            _stop(f"{file}: a file of kind {report.kind} gives no policy")
        _write(policy_out, report.policy)
    if not report.holds:
        raise click.exceptions.Exit(EXIT_REFUSED)


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(bytes_max + 1)
    except OSError as error:
        _stop(f"{path}: {error.strerror or 'cannot be read'}")
    if len(data) > bytes_max:
        _stop(f"{path}: larger than {bytes_max} bytes")
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        _stop(f"{path}: {error.strerror or 'cannot be written'}")


def _stop(message: str) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(EXIT_UNREADABLE)
