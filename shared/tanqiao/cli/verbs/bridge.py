"""`tanqiao trace`, `regions`, `recognition`, `log`: what the bridge knows; and `tanqiao clock`, `fsck`."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.common.v1 import clock_pb2
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.parse import blocks_text, date_text, parse_period, period_text
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.signed_answers import SignedAnswers, with_signed
from tanqiao.cli.tables import Row, require_format, write_rows
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_message

CLOCK_OPERATOR: Final = "operator/310000/sh.centre"
"""Moves the clocks of the local federation; on a test network any operator may."""
PAGE_SIZE: Final = 200
FILE: Final = click.Path(path_type=Path, dir_okay=False)
DAYS_MAX: Final = 36_525
"""A test clock moves by a century at most in one step."""
SHANGHAI_OFFSET: Final = timedelta(hours=8)


@click.command(cls=Verb)
@click.argument("block")
@click.option("--out", type=FILE, help="Write the steps to FILE: .csv .json .parquet")
@with_signed
@click.pass_obj
def trace(session: Session, block: str, out: Path | None, signed: Path | None) -> None:
    """Show everything that ever happened to BLOCK ('series[start,end)'), with every signed message."""
    require_format(out)
    request = directory_pb2.TraceUnitsRequest(block=block_message(UnitBlock.parse(block)))
    answer = session.bridge.locations.TraceUnits(request)
    with SignedAnswers(signed) as answers:
        answers.keep(answer.envelope)
    if out is not None:
        write_rows(out, [_step_row(step) for step in answer.steps], STEP_COLUMNS, STEP_NUMBERS)
        session.output.answer({"文件 file": str(out), "条数 rows": str(len(answer.steps))})
        return
    if session.output.as_json:
        session.output.value(message_fields(answer))
        return
    session.output.rows(
        (
            "序号 index",
            "步骤 step",
            "从 from",
            "到 to",
            "结果 outcome",
            "日期 date",
            "已签消息 signed messages",
        ),
        [
            (
                step.log_index,
                step.kind,
                step.from_region,
                step.to_region or "–",
                messages_pb2.Outcome.Name(step.outcome).removeprefix("OUTCOME_"),
                date_text(step.legal_date),
                ", ".join(message_name(envelope.payload_type) for envelope in step.envelopes),
            )
            for step in answer.steps
        ],
    )
    session.output.rows(
        ("区块 block", "在 at", "状态 state"),
        [
            (
                blocks_text([entry.block]),
                entry.region,
                directory_pb2.LocationState.Name(entry.state).removeprefix("LOCATION_STATE_"),
            )
            for entry in answer.locations
        ],
    )


STEP_COLUMNS: Final = (
    "log_index",
    "kind",
    "from_region",
    "to_region",
    "outcome",
    "blocks",
    "purpose",
    "legal_date",
    "claim_id",
    "transfer_id",
)
STEP_NUMBERS: Final = frozenset({"log_index"})


def _step_row(step: directory_pb2.TraceStep) -> Row:
    return {
        "log_index": step.log_index,
        "kind": step.kind,
        "from_region": step.from_region,
        "to_region": step.to_region,
        "outcome": messages_pb2.Outcome.Name(step.outcome).removeprefix("OUTCOME_"),
        "blocks": blocks_text(list(step.blocks)),
        "purpose": step.purpose,
        "legal_date": date_text(step.legal_date),
        "claim_id": step.claim_id,
        "transfer_id": step.transfer_id.hex(),
    }


def message_name(payload_type: str) -> str:
    """Give the name of a signed message: ``lock-assertion``."""
    return payload_type.removeprefix("application/vnd.tanqiao.").partition(".")[0]


@click.command(cls=Verb)
@click.pass_obj
def regions(session: Session) -> None:
    """List the regions of the federation and whether their line to the bridge stands."""
    answer = session.bridge.directory.ListRegions(directory_pb2.ListRegionsRequest())
    session.output.rows(
        ("地区 region", "已连接 connected", "最近 last seen"),
        [
            (entry.region, "✓" if entry.connected else "✗", entry.last_seen_time.ToJsonString())
            for entry in answer.regions
        ],
        json_value=message_fields(answer),
    )


@click.group()
def recognition() -> None:
    """Recognition agreements: without one in force, no unit crosses a border."""


@recognition.command("submit", cls=Verb)
@click.option("--from-region", required=True, help="Region that the units come from.")
@click.option("--to-region", required=True, help="Region that recognises them.")
@click.option("--programme", "programmes", multiple=True, required=True, help="SHCER, PHCER …; repeatable.")
@click.option("--class", "classes", multiple=True, help="Unit classes: I, II; repeatable.")
@click.option(
    "--purpose", "purposes", multiple=True, required=True, help="Uses at the destination; repeatable."
)
@click.option("--period", required=True, help="2026-01-01..2027-01-01")
@click.option("--cap-kg", type=click.IntRange(min=0), default=0, help="Most that may cross; 0: no cap.")
@click.option("--document", default="", help="Reference of the signed text.")
@click.option("--agreement-id", help="Its name; a fresh one by default.")
@click.pass_obj
def submit(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    from_region: str,
    to_region: str,
    programmes: tuple[str, ...],
    classes: tuple[str, ...],
    purposes: tuple[str, ...],
    period: str,
    cap_kg: int,
    document: str,
    agreement_id: str | None,
) -> None:
    """Sign an agreement with the roots of both regions and submit it to the bridge.

    Only on a test network: there one directory holds the roots of all authorities. In a real federation each
    authority signs on its own machine.
    """
    source, target = require_region(from_region), require_region(to_region)
    record = messages_pb2.RecognitionRecord(
        agreement_id=agreement_id or f"{source.name}-{target.name}-{secrets.token_hex(4)}",
        from_region=source.party,
        to_region=target.party,
        programmes=programmes,
        unit_classes=classes,
        purposes=purposes,
        quantity_cap_kg=cap_kg,
        period=parse_period(period),
        document=document,
    )
    session.output.message(submit_recognition(session, record))


def submit_recognition(
    session: Session, record: messages_pb2.RecognitionRecord
) -> directory_pb2.SubmitRecognitionResponse:
    """Sign a record with both roots of this home and hand it in."""
    from tanqiao.signing.federation import authority_of
    from tanqiao.signing.provision import build_recognition_record

    network = session.home.network()
    roots = [network.root(authority_of(party)) for party in (record.from_region, record.to_region)]
    envelope = build_recognition_record(session.home.network_id, record, roots)
    return session.as_party(CLOCK_OPERATOR).bridge.recognition.SubmitRecognition(
        directory_pb2.SubmitRecognitionRequest(request_id=new_request_id(), record=envelope)
    )


@recognition.command("list", cls=Verb)
@click.pass_obj
def list_recognitions(session: Session) -> None:
    """List the agreements in the log, and what has crossed under each."""
    answer = session.bridge.recognition.ListRecognitions(directory_pb2.ListRecognitionsRequest())
    session.output.rows(
        (
            "协议 agreement",
            "从 from",
            "到 to",
            "机制 programmes",
            "用途 purposes",
            "期限 period",
            "已用 used kg",
        ),
        [
            (
                entry.record.agreement_id,
                entry.record.from_region,
                entry.record.to_region,
                " ".join(entry.record.programmes),
                " ".join(entry.record.purposes),
                period_text(entry.record.period),
                entry.used_kg,
            )
            for entry in answer.recognitions
        ],
        json_value=message_fields(answer),
    )


@click.group()
def log() -> None:
    """The decision log of the bridge."""


@log.command("show", cls=Verb)
@click.option("--from", "from_index", type=click.IntRange(min=0), default=0, help="First index wanted.")
@click.option("--envelopes", is_flag=True, help="With the signed messages that each leaf names.")
@click.pass_obj
def show_log(session: Session, from_index: int, envelopes: bool) -> None:
    """Show a page of the log from an index on."""
    answer = session.bridge.decisions.ListLogEntries(
        directory_pb2.ListLogEntriesRequest(
            from_index=from_index, page_size=PAGE_SIZE, with_envelopes=envelopes
        )
    )
    session.output.rows(
        ("序号 index", "种类 kind", "叶哈希 leaf hash"),
        [(entry.log_index, entry.kind, entry.leaf_hash.hex()) for entry in answer.entries],
        title=f"log size {answer.log_size}",
        json_value=message_fields(answer),
    )


@click.group()
def clock() -> None:
    """The test clock of the federation; it moves forward only."""


@clock.command("show", cls=Verb)
@click.pass_obj
def show_clock(session: Session) -> None:
    """Show every node's clock."""
    from tanqiao.cli.local.members import MEMBERS

    reader = session.reader()
    rows = []
    for member in MEMBERS:
        answer = reader.server(member.party).clock.GetClock(clock_pb2.GetClockRequest())
        moment = answer.time.ToDatetime(UTC) + SHANGHAI_OFFSET
        rows.append((member.title, f"{moment:%Y-%m-%d %H:%M:%S}", "✓" if answer.test_clock else "–"))
    session.output.rows(("节点 node", "时间 time (Asia/Shanghai)", "测试时钟 test clock"), rows)


@clock.command("advance", cls=Verb)
@click.option("--to", "to_date", help="Date (09:00 Asia/Shanghai): 2026-03-10")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Or so many days from now.")
@click.pass_obj
def advance(session: Session, to_date: str | None, days: int | None) -> None:
    """Move the clocks of all nodes forward to the same moment."""
    from tanqiao.kernel.periods import parse_date

    if (to_date is None) == (days is None):
        raise DomainError("FIELD_MISSING", field="--to | --days")
    if to_date is not None:
        day = parse_date(to_date)
        moment = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)  # 09:00 in Shanghai
    else:
        moment = present(session) + timedelta(days=days or 0)
    advance_clocks(session, moment)
    session.output.answer({"测试时钟 test clock": f"{moment + SHANGHAI_OFFSET:%Y-%m-%d %H:%M:%S}"})


def present(session: Session) -> datetime:
    """Give the latest clock of the federation."""
    from tanqiao.cli.local.members import MEMBERS

    reader = session.reader()
    return max(
        reader.server(member.party).clock.GetClock(clock_pb2.GetClockRequest()).time.ToDatetime(UTC)
        for member in MEMBERS
    )


def advance_clocks(session: Session, moment: datetime) -> None:
    """Move the clock of every node; the bridge first, so that no region is ever ahead of it.

    Raises:
        DomainError: CLOCK_SET_BACK for a moment that has passed.
    """
    from tanqiao.cli.local.members import BRIDGE_MEMBER, MEMBERS, RegionMember

    stamp = Timestamp()
    stamp.FromDatetime(moment)
    for member in sorted(MEMBERS, key=lambda member: member is not BRIDGE_MEMBER):
        # A region's clock is moved by its own operators; the others' by any.
        own = (
            f"operator/{member.code}/{member.roles[0]}"
            if isinstance(member, RegionMember)
            else CLOCK_OPERATOR
        )
        session.as_party(own).server(member.party).clock.AdvanceTestClock(
            clock_pb2.AdvanceTestClockRequest(to_time=stamp)
        )


@click.command(cls=Verb)
@click.argument("nodes", nargs=-1)
@click.pass_obj
def fsck(session: Session, nodes: tuple[str, ...]) -> None:
    """Rebuild each node's books from its journal or log and compare. Nodes may run.

    Without NODES all of them. Exits with 1 when something is found.
    """
    from tanqiao.cli.local.check import check_nodes

    results = check_nodes(session.home, nodes)
    session.output.rows(
        ("节点 node", "结果 result", "说明 report"),
        [(result.member.title, "✓" if result.clean else "✗", result.summary) for result in results],
        json_value=[
            {"node": result.member.name, "clean": result.clean, "report": result.report} for result in results
        ],
    )
    if not all(result.clean for result in results):
        raise click.exceptions.Exit(EXIT_REFUSED)


@click.command(cls=Verb)
@click.pass_obj
def conservation(session: Session) -> None:
    """Check over all regions and the bridge that no unit is lost, made twice or in two places.

    The rule of docs/protocol: regions' snapshots are compared with the bridge's log, whatever moment each was
    taken at. Exits with 1 when something is found.
    """
    from tanqiao.cli.local.members import REGIONS
    from tanqiao.client.snapshots import check_federation

    result = check_federation(session.reader(), [region.code for region in REGIONS])
    session.output.rows(
        ("系列 series", "签发 issued", "持有 held", "在途 in flight", "已用 used", "注销 cancelled", ""),
        [
            (
                series_id,
                balance.issued_kg,
                balance.held_kg,
                balance.in_flight_kg,
                balance.used_kg,
                balance.cancelled_kg,
                "✓" if balance.balanced else "✗",
            )
            for series_id, balance in result.series.items()
        ],
        json_value={
            "holds": result.holds,
            "log_size": result.log_size,
            "findings": list(result.findings),
            "series": {
                series_id: {
                    "issued_kg": balance.issued_kg,
                    "held_kg": balance.held_kg,
                    "in_flight_kg": balance.in_flight_kg,
                    "used_kg": balance.used_kg,
                    "cancelled_kg": balance.cancelled_kg,
                }
                for series_id, balance in result.series.items()
            },
        },
    )
    for finding in result.findings:
        session.output.say(f"✗ {finding}", "red")
    if not result.holds:
        raise click.exceptions.Exit(EXIT_REFUSED)
