"""Why a claim is answered as it is: findings, claims compared, aliases, lists (CLAIMS section 7).

Nothing is decided here: the claim is judged as for a check, and what the engine found on the way is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.claims.articles import article
from tanqiao.claims.keys import Strength, asset_key, strength_of
from tanqiao.claims.model import Asset, Claim, Finding, Verdict
from tanqiao.claims.personal import PSEUDONYM
from tanqiao.claims.sentences import finding_sentences
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.kernel.record import record
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import wire_period
from tanqiao_bridge.application.claim_aliases import AliasBook, reference_of
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.claim_tokens import with_renewed
from tanqiao_bridge.application.judging import (
    VERDICTS,
    Index,
    Judged,
    interval_dates,
    judge_claim,
    read_stored,
    refusal_of,
    registries_of,
    verdict_message,
)
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.storage import cases, log
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.claims import ReceiptRow

COMPARED_SHOWN_MAX: Final = 200
ASSET_PREFIX: Final = "asset:"


@record
class Explained:
    """A claim judged, with all that it was judged on.

    Args:
        read: the claim.
        judged: its verdict.
        others: claims of the index that it was compared with.
        aliases: reviewed pairs about its references.
        case_ids: of the cases that name it.
        receipt: its last one that carries a verdict; None: it has none.
        decided_on: the legal date.
        log_size: index that the answer stands at.
    """

    read: ReadClaim
    judged: Judged
    others: tuple[ReadClaim, ...]
    aliases: AliasBook
    case_ids: tuple[int, ...]
    receipt: ReceiptRow | None
    decided_on: date
    log_size: int


class Explainer:
    """Reads of one bridge's database, each in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stored(self, claim_id: str) -> ReadClaim:
        """Give a claim of the index, with the tokens that it has now.

        Raises:
            DomainError: CLAIM_UNKNOWN.
        """
        with self._database.reading() as connection:
            row = claim_rows.load_claims(connection, [claim_id]).get(claim_id)
            if row is None:
                raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id)
            return with_renewed(connection, [read_stored(row)])[0]

    def explain(self, read: ReadClaim, answers: Answers, decided_on: date, *, stored: bool) -> Explained:
        """Judge a claim; `stored` for one of the index, which may have been the matter of cases before."""
        with self._database.reading() as connection:
            index = Index.load(connection, [read], resolved=stored)
            named = cases.cases_of_claims(connection, [read.claim.claim_id]) if stored else []
            receipts = claim_rows.receipts_of(connection, read.claim.claim_id) if stored else []
            size = log.log_size(connection)
        return Explained(
            read,
            judge_claim(read, index, answers, 0, decided_on=decided_on),
            tuple(index.others(read)),
            index.aliases,
            tuple(case.case_id for case in named),
            next((row for row in reversed(receipts) if _has_verdict(row)), None),
            decided_on,
            size,
        )


def _has_verdict(row: ReceiptRow) -> bool:
    return claims_pb2.ClaimReceipt.FromString(row.payload).HasField("verdict")


def explanation_message(
    header: envelope_pb2.Header, explained: Explained, lists: Iterable[conflicts_pb2.ListAsOf]
) -> conflicts_pb2.Explanation:
    """Give the explanation as it is signed; what it says of claims of others every verdict says too."""
    read, judged = explained.read, explained.judged
    compared = _compared(explained)
    zh, en = _summary(judged)
    return conflicts_pb2.Explanation(
        header=header,
        claim_id=read.claim.claim_id,
        claim_digest=read.digest,
        verdict=verdict_message(
            header,
            read,
            judged,
            as_of_index=explained.log_size,
            registries=registries_of(judged.answers),
        ),
        findings=[_finding(one) for one in judged.verdict.findings],
        compared=compared[:COMPARED_SHOWN_MAX],
        compared_count=len(compared),
        lists=lists,
        decided_on=date_message(explained.decided_on),
        as_of_index=explained.log_size,
        last_receipt=_envelope(explained.receipt),
        case_ids=explained.case_ids,
        summary_zh=zh,
        summary_en=en,
    )


def _envelope(row: ReceiptRow | None) -> envelope_pb2.Envelope | None:
    return None if row is None else envelope_pb2.Envelope.FromString(row.envelope)


def _finding(found: Finding) -> conflicts_pb2.Finding:
    source = article(found.article)
    return conflicts_pb2.Finding(
        verdict=VERDICTS[found.verdict],
        level=found.level.value,
        article_code=found.article,
        article_zh=source.zh,
        article_en=source.en,
        bridge_policy=source.is_bridge_policy,
        claim_ids=found.claim_ids,
        also_cited=found.also_cited,
        sentence_zh=found.sentence_zh,
        sentence_en=found.sentence_en,
    )


def _compared(explained: Explained) -> list[conflicts_pb2.ComparedClaim]:
    """Give what the claim was compared with: those that collide first, then in order of id."""
    read, verdict = explained.read, explained.judged.verdict
    own = set(explained.aliases.expand(read.keys))
    areas = {overlap.claim_id: overlap.area_m2 or 0 for overlap in verdict.overlaps}
    found = [
        _compared_claim(read.claim, other.claim, other.asset, own, explained.aliases, areas, verdict)
        for other in explained.others
    ]
    found += [
        _compared_claim(read.claim, claim, asset, own, explained.aliases, areas, verdict, outside=True)
        for claim, asset in explained.judged.answers.records_of(0)
    ]
    return sorted(found, key=lambda one: (not one.collides, one.claim_id))


def _compared_claim(
    applicant: Claim,
    claim: Claim,
    asset: Asset,
    own: set[str],
    aliases: AliasBook,
    areas: dict[str, int],
    verdict: Verdict,
    *,
    outside: bool = False,
) -> conflicts_pb2.ComparedClaim:
    keys = {
        asset_key(reference)
        for reference in asset.references
        if reference.scheme != PSEUDONYM and strength_of(reference.scheme) >= Strength.OTHER_REGISTRY
    }
    shared = sorted(key for key in aliases.expand(keys) if key in own and key.startswith(ASSET_PREFIX))
    return conflicts_pb2.ComparedClaim(
        claim_id=claim.claim_id,
        registry=claim.claim_id.partition(":")[0] if outside else "",
        programme=claims_pb2.Programme.Value(f"PROGRAMME_{claim.programme.value}"),
        status=claims_pb2.ClaimStatus.Value(f"CLAIM_STATUS_{claim.status.value}"),
        live=claim.is_live,
        attribute=claims_pb2.Attribute.Value(f"ATTRIBUTE_{claim.attribute.value}"),
        period=_period(claim),
        region=f"region/{claim.region_code}" if claim.region_code else "",
        shared_references=[_reference(key) for key in shared],
        same_subject=claim.subject.uscc is not None and claim.subject.uscc == applicant.subject.uscc,
        collides=claim.claim_id in verdict.colliding_claims,
        certificate_state=claim.gec.state.value if claim.gec is not None else "",
        overlap_area_m2=areas.get(claim.claim_id, 0),
    )


def _period(claim: Claim) -> values_pb2.Period:
    return wire_period(Period(*interval_dates(claim.interval)))


def _reference(key: str) -> claims_pb2.AssetReference:
    reference = reference_of(key)
    return claims_pb2.AssetReference(scheme=reference.scheme, value=reference.value)


def _summary(judged: Judged) -> tuple[str, str]:
    """Give the answer in one sentence of each language: the finding that decides, or the refusal."""
    verdict = judged.verdict
    refusal = refusal_of(judged)
    if verdict.refusal is not None and refusal is not None:
        return refusal.sentence("zh"), refusal.sentence("en")
    deciding = _deciding(verdict)
    if deciding is not None:
        return deciding.sentence_zh, deciding.sentence_en
    level = verdict.level.value if verdict.level is not None else "policy"
    return finding_sentences(verdict.verdict.value, level, verdict.article, verdict.colliding_claims)


def _deciding(verdict: Verdict) -> Finding | None:
    alike = [
        one
        for one in verdict.findings
        if (one.verdict, one.article) == (verdict.verdict, verdict.article)
        and (verdict.level is None or one.level is verdict.level)
    ]
    return next((one for one in alike if one.claim_ids), alike[0] if alike else None)
