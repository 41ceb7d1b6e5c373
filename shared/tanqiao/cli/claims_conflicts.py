"""`tanqiao claims conflicts|watch|explain|assets|check-file|queries`: what the national office asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import click
from google.protobuf import json_format

from tanqiao.api.bridge.v1 import cases_pb2, claim_queries_pb2, claims_pb2, conflicts_pb2
from tanqiao.cli.claims_filter import STATUSES, claim_filter, with_filter, with_standing
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.parse import date_text, period_text, read_message
from tanqiao.cli.session import Session
from tanqiao.cli.signed_answers import SignedAnswers, with_signed
from tanqiao.cli.tables import Row, require_format, write_rows
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.orders import authority_of
from tanqiao.client import BridgeClient
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import to_refusal

PAGE_SIZE: Final = 500
ROWS_MAX: Final = 1_000_000
"""Most rows of one export; narrow the filter beyond."""
QUESTIONS_PER_BATCH: Final = 500
QUERIES_SHOWN_MAX: Final = 1_000
ASSETS_SHOWN_MAX: Final = 10_000
PAGES_MAX: Final = 1_000
"""Pages of one search for assets; each looks at up to 5,000 claims or 500 rows."""
CASE_STATES: Final = ("open", "allowed", "blocked", "split", "settled")
COLUMNS: Final = (
    "case_id",
    "kind",
    "state",
    "body",
    "claims",
    "article",
    "matrix_version",
    "opened",
    "due",
    "as_of_index",
)
SHOWN_COLUMNS: Final = ("case_id", "kind", "state", "body", "claims", "due")
WHOLE_NUMBERS: Final = frozenset({"case_id", "as_of_index"})
FILE: Final = click.Path(path_type=Path, dir_okay=False)

asking = click.option(
    "--as", "party", default="", help="Office that asks, by its certificate. [default: reader/national]"
)


def _bridge(session: Session, party: str) -> BridgeClient:
    return session.as_party(party).bridge if party else session.bridge


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


# -- why ----------------------------------------------------------------------------------------------------


@click.command("explain", cls=Verb)
@click.argument("claim_id", required=False, default="")
@click.option("--file", type=FILE, help="A claim that is not declared, as JSON.")
@asking
@click.pass_obj
def explain_command(session: Session, claim_id: str, file: Path | None, party: str) -> None:
    r"""Say why CLAIM_ID is answered as it is: findings, articles, claims compared, lists and their age.

    With --file a claim is judged that nobody has declared. Exits with 1 where it would not pass.

    \b
    tanqiao claims explain 310000:project:P-0001
    tanqiao claims explain --file claim.json --json
    """
    if bool(claim_id) == (file is not None):
        raise DomainError("FIELD_MISSING", field="CLAIM_ID | --file")
    request = conflicts_pb2.ExplainVerdictRequest(claim_id=claim_id)
    if file is not None:
        request = conflicts_pb2.ExplainVerdictRequest(claim=read_message(file, claims_pb2.Claim()))
    told = _bridge(session, party).conflicts.ExplainVerdict(request).explanation
    session.output.message(
        told,
        {
            "声明 claim": told.claim_id,
            "结论 verdict": _verdict(told.verdict.verdict),
            "层级 level": told.verdict.level or "–",
            "理由 why": told.summary_zh,
            "": told.summary_en,
            "依据 findings": "\n".join(_finding(one) for one in told.findings) or "–",
            "已比对 compared": "\n".join(_compared(one) for one in told.compared) or "–",
            "同一资产 aliases": "\n".join(_alias(one) for one in told.aliases) or "–",
            "案件 cases": ", ".join(map(str, told.case_ids)) or "–",
            **_lists(told.lists),
            "矩阵 matrix": told.verdict.matrix_version,
            "截至 as of": f"{told.as_of_index} ({date_text(told.decided_on)})",
        },
    )
    if told.verdict.verdict in (claims_pb2.VERDICT_KIND_BLOCK, claims_pb2.VERDICT_KIND_HOLD):
        raise click.exceptions.Exit(EXIT_REFUSED)


def _verdict(number: claims_pb2.VerdictKind.ValueType) -> str:
    return _word(claims_pb2.VerdictKind.Name(number), "VERDICT_KIND_")


def _finding(found: conflicts_pb2.Finding) -> str:
    rule = f"{_verdict(found.verdict)} {found.level} {found.article_code}"
    return f"{rule}: {found.sentence_zh} {found.sentence_en}"


def _compared(one: conflicts_pb2.ComparedClaim) -> str:
    shared = ", ".join(f"{ref.scheme}={ref.value}" for ref in one.shared_references)
    status = one.certificate_state or _word(claims_pb2.ClaimStatus.Name(one.status), "CLAIM_STATUS_")
    mark = "✗" if one.collides else "·"
    return f"{mark} {one.claim_id} {status} {period_text(one.period)} {shared}".rstrip()


def _alias(one: cases_pb2.AliasEntry) -> str:
    relation = _word(cases_pb2.AliasRelation.Name(one.relation), "ALIAS_RELATION_").lower()
    first, second = (f"{ref.scheme}={ref.value}" for ref in (one.first, one.second))
    return f"{first} {relation} {second} ({one.log_index})"


def _lists(lists: Any) -> dict[str, str]:  # noqa: ANN401 - a repeated field
    """Give how old each outside list is, one line each."""
    if not lists:
        return {}
    return {
        "名单 lists": "\n".join(
            f"{one.registry} 截至 as of {date_text(one.as_of_date)}, {one.age_days} 天 days, {one.source}"
            if one.answered
            else f"{one.registry} ✗ 未答复 silent"
            for one in lists
        )
    }


# -- conflicts ----------------------------------------------------------------------------------------------


@click.command("conflicts", cls=Verb)
@with_filter
@with_standing
@click.option("--as-of", "as_of_index", type=click.IntRange(min=0), default=0, help="As of this log index.")
@click.option("--body", default="", help="In whose queue: shanghai, 440300 … or bridge for the national one.")
@click.option("--state", type=click.Choice(CASE_STATES), help="Only cases in this state.")
@click.option("--kind", default="", help='Only cases of this kind: "late fact", "claim on hold" …')
@click.option("--out", type=FILE, help="Write all to FILE: .csv .json .parquet")
@with_signed
@asking
@click.pass_obj
def conflicts_command(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    /,
    methodology_id: str,
    statuses: tuple[str, ...],
    as_of_index: int,
    body: str,
    state: str | None,
    kind: str,
    out: Path | None,
    signed: Path | None,
    party: str,
    **chosen: Any,  # noqa: ANN401 - the options of the filter
) -> None:
    """List conflicts: cases that name a claim which fits every filter, oldest first.

    With --as-of cases about claims, as they and their claims stood when the log had so many leaves.
    An office of a region gets those in its queue and those that name a claim of its region.
    """
    require_format(out)
    wanted = conflicts_pb2.ConflictFilter(
        claims=claim_filter(**chosen),
        body=authority_of(body) if body else "",
        state=state or "",
        kind=kind,
    )
    wanted.claims.methodology_id = methodology_id
    wanted.claims.statuses.extend(STATUSES[status] for status in statuses)  # type: ignore[misc]
    with SignedAnswers(signed) as answers:
        lists = _pages(_bridge(session, party), wanted, as_of_index, answers)
        if out is None:
            page = next(lists)
            session.output.rows(
                ("案件 case", "事由 kind", "状态 state", "办理 body", "主张 claims", "期限 due"),
                [tuple(row[name] for name in SHOWN_COLUMNS) for row in _rows(page)],
                json_value=message_fields(page),
            )
            return
        rows = [row for page in lists for row in _rows(page)]
    write_rows(out, rows, COLUMNS, WHOLE_NUMBERS)
    session.output.answer({"文件 file": str(out), "条数 rows": str(len(rows))})


def _pages(
    bridge: BridgeClient, wanted: conflicts_pb2.ConflictFilter, as_of_index: int, answers: SignedAnswers
) -> Iterator[conflicts_pb2.ConflictList]:
    token, count = "", 0
    while count < ROWS_MAX:
        request = conflicts_pb2.ListConflictsRequest(
            filter=wanted, as_of_index=as_of_index, page_size=PAGE_SIZE, page_token=token
        )
        response = bridge.conflicts.ListConflicts(request)
        answers.keep(response.envelope)
        page = response.list
        yield page
        count += len(page.cases)
        token = page.next_page_token
        if not token:
            return
    raise DomainError("BATCH_TOO_LARGE", limit=ROWS_MAX, count=count)


def _rows(page: conflicts_pb2.ConflictList) -> Iterator[Row]:
    for case in page.cases:
        due = case.deadline_time.ToDatetime().date().isoformat() if case.HasField("deadline_time") else ""
        yield {
            "case_id": case.case_id,
            "kind": case.kind,
            "state": case.state,
            "body": case.body,
            "claims": " ".join(case.claim_ids) or case.subject,
            "article": case.article,
            "matrix_version": case.matrix_version,
            "opened": case.open_time.ToDatetime().date().isoformat(),
            "due": due,
            "as_of_index": page.as_of_index,
        }


@click.command("watch", cls=Verb)
@click.option("--from", "resume_token", default="", help="Go on at this token. [default: the first change]")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many changes.")
@asking
@click.pass_obj
def watch_command(session: Session, resume_token: str, limit: int | None, party: str) -> None:
    """Follow what becomes of cases and verdicts; after a cut go on at the last token printed.

    Each change comes at least once. With --json one object a line, with the token behind it.
    """
    request = conflicts_pb2.WatchConflictsRequest(resume_token=resume_token)
    shown = 0
    for answer in _bridge(session, party).conflicts.WatchConflicts(request):
        push = answer.push
        for change in push.changes:
            if session.output.as_json:
                fields = message_fields(change) | {"resume_token": push.resume_token}
                click.echo(json.dumps(fields, ensure_ascii=False))
            else:
                session.output.say(f"{push.resume_token:>12}  {_change(change)}")
            shown += 1
            if limit is not None and shown >= limit:
                return


def _change(change: conflicts_pb2.ConflictChange) -> str:
    moment = change.change_time.ToJsonString()
    if change.HasField("case_change"):
        case, event = change.case_change.case, change.case_change.event
        return f"{moment}  案件 case {case.case_id} {event.what}: {case.kind}, {', '.join(case.claim_ids)}"
    one = change.verdict_change
    before = _verdict(one.before) if one.before else "–"
    named = ", ".join(one.colliding_claim_ids)
    return (
        f"{moment}  声明 claim {one.claim_id} {before} → {_verdict(one.after)} {one.level} {named}".rstrip()
    )


# -- assets -------------------------------------------------------------------------------------------------


@click.command("assets", cls=Verb)
@click.argument("name", required=False, default="")
@click.option("--owner", default="", help="Credit code, or part of the owner's name.")
@click.option("--place", "place_code", default="", help="Division code or its beginning: 31, 4403, 310115.")
@click.option("--polygon", type=FILE, help="GeoJSON file: assets that have an area in common with it.")
@click.option(
    "--capacity-kw", nargs=2, type=click.IntRange(min=0), default=(0, 0), help="From and to; 0: open."
)
@click.option(
    "--limit",
    type=click.IntRange(1, ASSETS_SHOWN_MAX),
    default=100,
    show_default=True,
    help="Most assets that are shown.",
)
@asking
@click.pass_obj
def assets_command(
    session: Session,
    name: str,
    owner: str,
    place_code: str,
    polygon: Path | None,
    capacity_kw: tuple[int, int],
    limit: int,
    party: str,
) -> None:
    """Find assets by NAME, in Chinese or Pinyin ("fengdian"), owner, place, polygon, capacity.

    Those of claims come first, then those of outside lists. What is found has references: ask for the claims
    on them with `tanqiao claims find --ref`.
    """
    request = conflicts_pb2.FindAssetsRequest(
        name=name,
        owner=owner,
        place_code=place_code,
        geometry=_text_of(polygon),
        capacity_kw_min=capacity_kw[0],
        capacity_kw_max=capacity_kw[1],
    )
    found: list[conflicts_pb2.FoundAsset] = []
    page = conflicts_pb2.AssetList()
    for _ in range(PAGES_MAX):
        page = _bridge(session, party).conflicts.FindAssets(request).list
        found.extend(page.assets)
        request.page_token = page.next_page_token
        if not page.next_page_token or len(found) >= limit:
            break
    session.output.rows(
        ("名称 name", "编号 references", "业主 owner", "区划 place", "来源 from"),
        [
            (
                one.name,
                " ".join(f"{ref.scheme}={ref.value}" for ref in one.references),
                one.owner_name or "–",
                one.place_code or "–",
                one.claim_id,
            )
            for one in found[:limit]
        ],
        json_value={
            "assets": [message_fields(one) for one in found[:limit]],
            "complete": not page.next_page_token and len(found) <= limit,
            "as_of_index": str(page.as_of_index),
            "lists": [message_fields(one) for one in page.lists],
            "pinyin_searched": page.pinyin_searched,
        },
    )
    if page.next_page_token:
        session.output.step("还有更多，请缩小范围 / there is more: narrow it, or raise --limit")


def _text_of(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except UnicodeDecodeError as error:
        raise DomainError("FILE_NOT_UTF8", file=path, line=error.start) from error


# -- checks in bulk -----------------------------------------------------------------------------------------


@click.command("check-file", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--out", type=FILE, required=True, help="Answers, one JSON object a line, in order of FILE.")
@asking
@click.pass_obj
def check_file_command(session: Session, file: Path, out: Path, party: str) -> None:
    """Check every claim of FILE, one JSON object a line, on one stream; declares nothing.

    Each answer names its line. Exits with 1 where a line can not be read or a verdict is not ALLOW.
    """
    counts: dict[str, int] = {}
    unreadable: dict[str, DomainError] = {}
    try:
        with file.open(encoding="utf-8-sig") as lines, out.open("w", encoding="utf-8") as answers:
            stream = _bridge(session, party).conflicts.CheckClaims(_batches(lines, unreadable))
            for response in stream:
                for one in response.answers:
                    if one.question_id in unreadable:
                        one.refusal.CopyFrom(to_refusal(unreadable[one.question_id]))
                    word = _verdict(one.verdict.verdict) if one.HasField("verdict") else one.refusal.reason
                    counts[word] = counts.get(word, 0) + 1
                    answers.write(json.dumps(message_fields(one), ensure_ascii=False) + "\n")
                session.output.step(f"{sum(counts.values())} 已核对 checked")
    except OSError as error:
        raise DomainError("FILE_MISSING", file=error.filename or file) from error
    except UnicodeDecodeError as error:
        raise DomainError("FILE_NOT_UTF8", file=file, line=error.start) from error
    session.output.answer({"文件 file": str(out), **{word: counts[word] for word in sorted(counts)}})
    if set(counts) - {"ALLOW"}:
        raise click.exceptions.Exit(EXIT_REFUSED)


def _batches(lines: TextIO, unreadable: dict[str, DomainError]) -> Iterator[conflicts_pb2.CheckClaimsRequest]:
    """Read claims a batch ahead of what is answered, never the whole file.

    A line that is no claim is asked as an empty one, so that the answers keep its place, and noted here.
    """
    batch = conflicts_pb2.CheckClaimsRequest()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            question = batch.questions.add(question_id=f"line {number}")
            try:
                json_format.Parse(line, question.claim)
            except json_format.ParseError as error:
                question.ClearField("claim")
                unreadable[question.question_id] = DomainError("MESSAGE_MALFORMED", detail=str(error)[:200])
        if len(batch.questions) == QUESTIONS_PER_BATCH:
            yield batch
            batch = conflicts_pb2.CheckClaimsRequest()
    if batch.questions:
        yield batch


# -- the query log ------------------------------------------------------------------------------------------


@click.command("queries", cls=Verb)
@asking
@click.pass_obj
def queries_command(session: Session, party: str) -> None:
    """Show what the office has asked, latest first: its own questions and nobody else's."""
    request = claim_queries_pb2.ListQueriesRequest(page_size=QUERIES_SHOWN_MAX)
    answer = _bridge(session, party).claim_queries.ListQueries(request)
    session.output.rows(
        ("时间 time", "方法 method", "查询 query", "截至 as of", "条数 entries"),
        [
            (one.query_time.ToJsonString(), one.method, one.query, one.as_of_index, one.entry_count)
            for one in answer.queries
        ],
        json_value=message_fields(answer),
    )


COMMANDS: Final = (
    explain_command,
    conflicts_command,
    watch_command,
    check_file_command,
    assets_command,
    queries_command,
)
