"""Sentences of a finding in Chinese and English; each ends with the article that decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tanqiao.claims.articles import ARTICLES
from tanqiao.claims.model import Level, VerdictKind

_LEVELS: Final[Mapping[Level, tuple[str, str]]] = MappingProxyType(
    {
        Level.SUBJECT: ("主体", "the subject"),
        Level.PROJECT: ("项目", "the project"),
        Level.INTERVAL: ("期间", "the period"),
        Level.QUANTITY: ("电量", "the quantity"),
        Level.POLICY: ("复核", "a review"),
    }
)
_WITH_CLAIMS: Final[Mapping[VerdictKind, tuple[str, str]]] = MappingProxyType(
    {
        VerdictKind.ALLOW: ("一并列示：{claims}。", "Shown beside it: {claims}."),
        VerdictKind.FREEZE_OTHER: (
            "须请对方登记系统先行冻结或注销：{claims}。",
            "The other registry must freeze or cancel first: {claims}.",
        ),
        VerdictKind.SPLIT: (
            "仅无争议部分可以通过，冲突：{claims}。",
            "Only the uncontested part would pass; colliding: {claims}.",
        ),
        VerdictKind.HOLD: (
            "{zh_level}层面须人工复核：{claims}。",
            "A person must look at {en_level}: {claims}.",
        ),
        VerdictKind.BLOCK: ("{zh_level}层面冲突，不予通过：{claims}。", "Collides at {en_level}: {claims}."),
    }
)
_WITHOUT_CLAIMS: Final[Mapping[VerdictKind, tuple[str, str]]] = MappingProxyType(
    {
        VerdictKind.ALLOW: ("未发现冲突。", "Nothing collides."),
        VerdictKind.FREEZE_OTHER: ("须请对方登记系统先行办理。", "The other registry must act first."),
        VerdictKind.SPLIT: ("仅无争议部分可以通过。", "Only the uncontested part would pass."),
        VerdictKind.HOLD: ("{zh_level}层面须人工复核。", "A person must look at {en_level}."),
        VerdictKind.BLOCK: ("{zh_level}层面不予通过。", "Does not pass at {en_level}."),
    }
)


def finding_sentences(
    verdict: VerdictKind, level: Level, article: str, claim_ids: tuple[str, ...]
) -> tuple[str, str]:
    """Give the sentence in Chinese and in English."""
    zh, en = (_WITH_CLAIMS if claim_ids else _WITHOUT_CLAIMS)[verdict]
    zh_level, en_level = _LEVELS[level]
    source = ARTICLES[article]
    claims = ", ".join(claim_ids)
    return (
        f"{zh.format(claims=claims, zh_level=zh_level)}（{source.zh}）",
        f"{en.format(claims=claims, en_level=en_level)} ({source.en})",
    )
