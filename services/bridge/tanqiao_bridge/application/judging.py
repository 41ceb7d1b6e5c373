"""Judges claims on the index and on what the gateways said.

Gives the wire's verdict with sentence and article.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.articles import article
from tanqiao.claims.engine import ALONE_KEPT_MAX, ALONE_PROGRAMMES, judge, judge_alone
from tanqiao.claims.model import (
    Action,
    Asset,
    AssetLink,
    Claim,
    ClaimFacts,
    Evidence,
    Metering,
    Overlap,
    PolygonOverlap,
    Programme,
    Registry,
    RegistryAnswers,
    Verdict,
    VerdictKind,
)
from tanqiao.claims.moments import Interval
from tanqiao.claims.precedence import Precedence, precedence
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.kernel.record import record
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import wire_period
from tanqiao_bridge.application.claim_aliases import NO_ALIASES, AliasBook
from tanqiao_bridge.application.claim_facts import PROGRAMME_OF, ReadClaim, read_claim, with_index
from tanqiao_bridge.application.claim_geometry import overlaps_with
from tanqiao_bridge.application.claim_tokens import as_met, with_renewed
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.storage import cases
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.cases import CaseRow

VERDICTS: Final = {
    VerdictKind.ALLOW: claims_pb2.VERDICT_KIND_ALLOW,
    VerdictKind.BLOCK: claims_pb2.VERDICT_KIND_BLOCK,
    VerdictKind.HOLD: claims_pb2.VERDICT_KIND_HOLD,
    VerdictKind.FREEZE_OTHER: claims_pb2.VERDICT_KIND_FREEZE_OTHER,
    VerdictKind.SPLIT: claims_pb2.VERDICT_KIND_SPLIT,
}
_SOLD: Final = frozenset({Programme.GEC, Programme.GREEN_POWER})
_FOREIGN: Final = frozenset({Programme.CCER, Programme.VCS, Programme.GS, Programme.CDM})
COLLIDING_SHOWN_MAX: Final = 100
_NOTHING: Final[Mapping[str, Claim]] = MappingProxyType({})


@dataclass(slots=True)
class Index:
    """What of the index concerns a batch of claims, read in one snapshot or under its locks."""

    rows: dict[str, claim_rows.ClaimRow] = field(default_factory=dict)
    read: dict[str, ReadClaim] = field(default_factory=dict)
    by_key: dict[str, list[str]] = field(default_factory=dict)
    by_subject: dict[str, list[str]] = field(default_factory=dict)
    aliases: AliasBook = NO_ALIASES
    resolutions: dict[str, list[CaseRow]] = field(default_factory=dict)
    """By claim: the cases that were resolved so that it may stand."""

    @staticmethod
    def load(
        connection: sa.Connection,
        claims: Sequence[ReadClaim],
        aliases: AliasBook | None = None,
        *,
        resolved: bool = False,
        stored: bool = True,
    ) -> Index:
        """Read what shares a key or, where the matrix looks at it, the subject with one of the claims.

        Args:
            connection: of a transaction or snapshot.
            claims: to be judged.
            aliases: as they are under the locks of these claims; None: they are read.
            resolved: whether the claims may have been the matter of cases before; those declared now were
                not.
            stored: whether the rows of the claims themselves are wanted, where they are stored already.
        """
        index = Index()
        own, subjects = Index.looked_up(claims)
        index.aliases = AliasBook.load(connection, own) if aliases is None else aliases
        index.by_key = claim_rows.claims_by_key(connection, index.aliases.expand(own))
        index.by_subject = claim_rows.claims_of_subjects(connection, subjects)
        wanted = {
            claim_id for ids in (*index.by_key.values(), *index.by_subject.values()) for claim_id in ids
        }
        applicants = {read.claim_id for read in claims}
        index.rows = claim_rows.load_claims(connection, wanted | applicants if stored else wanted)
        if any(read.buckets for read in claims):
            found = [index._read(claim_id) for claim_id in wanted]
            index.read.update((read.claim_id, read) for read in with_renewed(connection, found))
        if resolved:
            for case in cases.cases_of_claims(connection, applicants):
                if case.state == cases.ALLOWED:
                    for claim_id in case.claim_ids:
                        index.resolutions.setdefault(claim_id, []).append(case)
        return index

    @staticmethod
    def looked_up(claims: Sequence[ReadClaim]) -> tuple[set[str], set[str]]:
        """Give the keys of claims, and their subjects where the matrix looks at them."""
        keys = {key for read in claims for key in read.keys}
        # A claim is locked under more than its keys where the matrix looks at its subject.
        subjects = {read.message.subject_uscc for read in claims if len(read.locks) > len(read.keys)} - {""}
        return keys, subjects

    def for_answers(self, answers: Answers) -> Index:
        """Give the index, for verdicts that rest on these answers.

        Whom certificates are frozen for has to stand since before the registries were asked: those of a
        claim that a case let stand meanwhile were released first, and the answer may be of the time before.

        Raises:
            DomainError: CONCURRENT_CHANGE; the registries are to be asked again.
        """
        for claim_id in sorted(answers.frozen_for):
            row = self.rows.get(claim_id)
            if row is not None and row.declared_index >= answers.asked_at_index:
                raise DomainError("CONCURRENT_CHANGE", what="claim", id=claim_id)
        return self

    def add(self, row: claim_rows.ClaimRow, keys: Iterable[str]) -> None:
        """Note a claim that the same transaction stores; it is read again if another meets it."""
        self.rows[row.claim_id] = row
        for key in keys:
            self.by_key.setdefault(key, []).append(row.claim_id)
        if row.subject_uscc:
            self.by_subject.setdefault(row.subject_uscc, []).append(row.claim_id)

    def others(self, read: ReadClaim) -> list[ReadClaim]:
        """Give the stored claims that may collide with one, in order of id."""
        ids: set[str] = set()
        for key in self.aliases.expand(read.keys) if self.aliases.roots else read.keys:
            ids.update(self.by_key.get(key, ()))
        if self.by_subject and read.subject_uscc is not None:
            ids.update(self.by_subject.get(read.subject_uscc, ()))
        ids.discard(read.claim_id)
        return [self._read(claim_id) for claim_id in sorted(ids) if claim_id in self.rows]

    def _read(self, claim_id: str) -> ReadClaim:
        known = self.read.get(claim_id)
        if known is None:
            row = self.rows[claim_id]
            known = read_claim(
                claims_pb2.Claim.FromString(row.content),
                action=Action.DECLARE,
                status=row.status,
                declared_index=row.declared_index,
            )
            self.read[claim_id] = known
        return known


def read_stored(row: claim_rows.ClaimRow) -> ReadClaim:
    """Read a claim of the index as one that is moved on."""
    return read_claim(
        claims_pb2.Claim.FromString(row.content),
        action=Action.REGISTER,
        status=row.status,
        declared_index=row.declared_index,
    )


@record
class Judged:
    """A verdict on an applicant, with the claims that it names."""

    read: ReadClaim
    verdict: Verdict
    named: Mapping[str, Claim]
    answers: Answers

    @property
    def applicant(self) -> Claim:
        """As the engine judged it."""
        return self.read.claim


def judge_claim(
    read: ReadClaim,
    index: Index,
    answers: Answers,
    position: int,
    *,
    decided_on: date,
    metering: tuple[Metering, ...] = (),
    declared_index: int | None = None,
) -> Judged:
    """Judge one claim.

    Args:
        read: the claim.
        index: what it may meet.
        answers: of the gateways.
        position: its place in the batch that the gateways were asked.
        decided_on: legal date.
        metering: of its plant, for an instalment of CCER.
        declared_index: log index that its declaration gets now; None: as it is read.
    """
    others = index.others(read)
    records = answers.records_of(position)
    silent = answers.silent
    if not others and not records and not index.aliases.decisions:
        message = read.message
        alone = _judge_alone(
            message.programme,
            message.no_duplicate_commitment,
            message.gec_freeze_consent,
            message.asset.ets_covered,
            silent,
            decided_on,
        )
        if alone is not None:
            resolved = _resolved(alone, index.resolutions.get(read.claim_id, ()))
            return Judged(read, resolved, _NOTHING, answers)
    if declared_index is not None:
        read = with_index(read, declared_index)
    assets: dict[str, Asset] = {read.asset.asset_id: read.asset}
    existing: list[Claim] = []
    doubts: set[str] = set()
    for other in others:
        claim, doubtful = as_met(read, other) if read.buckets else (other.claim, False)
        existing.append(claim)
        if doubtful:
            doubts.add(claim.claim_id)
        assets[other.asset.asset_id] = other.asset
    links: tuple[AssetLink, ...] = ()
    if index.aliases.decisions:
        bearers, links = index.aliases.facts(read.keys)
        assets.update(bearers)
    for claim, asset in records:
        existing.append(claim)
        assets[asset.asset_id] = asset
    heard = RegistryAnswers.all_answered()
    if silent:
        heard = RegistryAnswers(heard.answered - {Registry(name) for name in silent})
    overlaps: tuple[PolygonOverlap, ...] = ()
    if others and read.polygons is not None:
        overlaps = overlaps_with(
            read.asset.asset_id, read.polygons, ((other.asset.asset_id, other.polygons) for other in others)
        )
    facts = ClaimFacts(
        read.claim,
        tuple(existing),
        assets,
        decided_on,
        registry_answers=heard,
        asset_links=links,
        polygon_overlaps=overlaps,
        metering=metering,
        bucket_doubts=frozenset(doubts),
    )
    verdict = _resolved(judge(facts), index.resolutions.get(read.claim_id, ()))
    return Judged(read, verdict, {claim.claim_id: claim for claim in existing}, answers)


@lru_cache(maxsize=ALONE_KEPT_MAX)
def _judge_alone(
    programme: int,
    commitment: bool,  # noqa: FBT001 - what a claim of the wire says, in its order
    consent: bool,  # noqa: FBT001
    ets_covered: bool,  # noqa: FBT001
    silent: tuple[str, ...],
    decided_on: date,
) -> Verdict | None:
    """Judge a claim that meets nothing; None where that depends on more than its programme."""
    known = PROGRAMME_OF[programme]
    if known not in ALONE_PROGRAMMES:
        return None
    return judge_alone(
        known,
        Evidence(commitment, consent),
        ets_covered=ets_covered,
        silent=tuple(map(Registry, silent)),
        decided_on=decided_on,
    )


def _resolved(verdict: Verdict, resolutions: Sequence[CaseRow]) -> Verdict:
    """Let a HOLD pass that two bodies resolved: for these claims, this article and this matrix only.

    What a silent registry would have said nobody has resolved, and a BLOCK is no matter of a case.
    """
    if verdict.verdict is not VerdictKind.HOLD or verdict.silent_registries:
        return verdict
    for case in resolutions:
        covered = set(verdict.colliding_claims) <= set(case.claim_ids)
        if covered and (case.matrix_version, case.article) == (verdict.matrix_version, verdict.article):
            return Verdict(
                VerdictKind.ALLOW,
                None,
                "POLICY-RESOLVED",
                verdict.matrix_version,
                also_cited=(verdict.article,),
                flagged_claims=(*verdict.colliding_claims, *verdict.flagged_claims),
                findings=verdict.findings,
            )
    return verdict


def is_refused(verdict: Verdict) -> bool:
    """Whether the claim may not stand as live: BLOCK, HOLD, or refused before anything was compared."""
    return verdict.refusal is not None or verdict.verdict in (VerdictKind.BLOCK, VerdictKind.HOLD)


def refusal_of(judged: Judged) -> DomainError | None:
    """Give the reason and sentence of a verdict that does not pass, with the article that decides."""
    verdict = judged.verdict
    if verdict.refusal is not None:
        return DomainError(verdict.refusal, article=article_text(verdict.article))
    if verdict.verdict in (VerdictKind.ALLOW, VerdictKind.FREEZE_OTHER, VerdictKind.SPLIT):
        return None
    text = article_text(verdict.article)
    named = [judged.named[claim_id] for claim_id in verdict.colliding_claims if claim_id in judged.named]
    if verdict.silent_registries and not named:
        registries = ", ".join(registry.value for registry in verdict.silent_registries)
        return DomainError("EXTERNAL_REGISTRY_SILENT", article=text, registry=registries, as_of="–")
    sold = [claim for claim in named if claim.programme in _SOLD]
    foreign = [claim for claim in named if claim.programme in _FOREIGN]
    if verdict.verdict is VerdictKind.HOLD:
        return DomainError(
            "CLAIM_HOLD",
            article=text,
            cases=_references(named) or verdict.article,
        )
    if foreign:
        first = foreign[0]
        return DomainError(
            "DUPLICATE_PROGRAMME_APPLIED",
            article=text,
            programme=first.programme.value,
            reference=first.claim_id.partition(":")[2] or first.claim_id,
            date=_as_of(judged, first),
        )
    if sold:
        return DomainError("GREEN_POWER_PARTICIPATION", article=text, reference=_references(sold))
    winner = _winner(judged.applicant, named)
    if winner is not None:
        return DomainError(
            "CLAIM_OVERTAKEN", article=text, claim_id=judged.applicant.claim_id, winner=winner.claim_id
        )
    return DomainError(
        "CLAIM_OVERLAP", article=text, claims=_references(named), overlap=_overlaps(verdict) or "–"
    )


def _winner(applicant: Claim, named: Sequence[Claim]) -> Claim | None:
    """Give the later declaration that took the applicant's place in the queue, if nothing else bars it."""
    place = applicant.declared_microsecond
    if place is None or not named:
        return None
    later = [
        claim
        for claim in named
        if precedence(applicant, claim) is Precedence.INCUMBENT_FIRST
        and claim.declared_microsecond is not None
        and claim.declared_microsecond > place
    ]
    return later[0] if len(later) == len(named) else None


def _references(claims: Iterable[Claim]) -> str:
    return ", ".join(claim.claim_id for claim in list(claims)[:COLLIDING_SHOWN_MAX])


def _as_of(judged: Judged, claim: Claim) -> str:
    registry = claim.claim_id.partition(":")[0]
    answer = judged.answers.by_registry.get(registry)
    return answer.as_of.isoformat() if answer is not None and answer.as_of is not None else "–"


def _overlaps(verdict: Verdict) -> str:
    intervals = [overlap.interval for overlap in verdict.overlaps if overlap.interval is not None]
    return ", ".join(map(_dates, intervals))


def _dates(interval: Interval) -> str:
    start, end = interval_dates(interval)
    return f"{start}/{end}"


def interval_dates(interval: Interval) -> tuple[date, date]:
    """Give the legal dates of an interval of the engine."""
    start = date.fromordinal((interval.start_second + _SHANGHAI_SECONDS) // _DAY_SECONDS + _EPOCH_ORDINAL)
    end = date.fromordinal(-(-(interval.end_second + _SHANGHAI_SECONDS) // _DAY_SECONDS) + _EPOCH_ORDINAL)
    return start, end


_SHANGHAI_SECONDS: Final = 8 * 3600
_DAY_SECONDS: Final = 86_400
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


@cache  # the catalogue bounds it: another code raises
def article_text(code: str) -> str:
    """Give an article as a verdict shows it, in both languages; empty for none."""
    if not code:
        return ""
    source = article(code)
    return f"{source.zh} / {source.en}"


def registries_of(answers: Answers) -> list[claims_pb2.RegistryAsOf]:
    """Give which registries answered and as of when: the same for every verdict of a batch."""
    return [
        claims_pb2.RegistryAsOf(
            registry=name,
            answered=answer.answered,
            as_of_date=date_message(answer.as_of) if answer.as_of is not None else None,
        )
        for name, answer in sorted(answers.by_registry.items())
    ]


def met_nothing(verdict: Verdict) -> bool:
    """Whether nothing is to be told but the rule that was tested, as of almost every claim."""
    return verdict.verdict is VerdictKind.ALLOW and not verdict.flagged_claims and not verdict.also_cited


def verdict_message(
    header: envelope_pb2.Header,
    read: ReadClaim,
    judged: Judged,
    *,
    as_of_index: int,
    registries: Sequence[claims_pb2.RegistryAsOf],
) -> claims_pb2.Verdict:
    """Give the wire's verdict; `registries` are those of the answers that it was judged on."""
    verdict = judged.verdict
    if met_nothing(verdict):
        return claims_pb2.Verdict(
            header=header,
            verdict=claims_pb2.VERDICT_KIND_ALLOW,
            article=article_text(verdict.article),
            matrix_version=verdict.matrix_version,
            as_of_index=as_of_index,
            claim_digest=read.digest,
            registries=registries,
        )
    refusal = refusal_of(judged)
    overlaps = {overlap.claim_id: overlap for overlap in verdict.overlaps}
    message = claims_pb2.Verdict(
        header=header,
        verdict=VERDICTS[verdict.verdict],
        level=verdict.level.value if verdict.level is not None else "",
        article=article_text(verdict.article),
        also_cited=[article_text(code) for code in verdict.also_cited],
        matrix_version=verdict.matrix_version,
        as_of_index=as_of_index,
        claim_digest=read.digest,
        registries=registries,
        colliding_claims=_claims(verdict.colliding_claims, judged, overlaps),
        flagged_claims=_claims(verdict.flagged_claims, judged, overlaps),
    )
    if refusal is not None:
        message.refusal.CopyFrom(to_refusal(refusal))
    return message


def _claims(
    claim_ids: Sequence[str], judged: Judged, overlaps: Mapping[str, Overlap]
) -> list[claims_pb2.CollidingClaim]:
    found = []
    for claim_id in claim_ids[:COLLIDING_SHOWN_MAX]:
        claim = judged.named.get(claim_id)
        if claim is None:
            continue
        overlap = overlaps.get(claim_id)
        interval = overlap.interval if overlap is not None else None
        period = None
        if interval is not None:
            period = wire_period(Period(*interval_dates(interval)))
        found.append(
            claims_pb2.CollidingClaim(
                claim_id=claim_id,
                programme=claims_pb2.Programme.Value(f"PROGRAMME_{claim.programme.value}"),
                reference=claim.project or "",
                status=claims_pb2.ClaimStatus.Value(f"CLAIM_STATUS_{claim.status.value}"),
                overlap=period,
                region=f"region/{claim.region_code}" if claim.region_code else "",
            )
        )
    return found
