"""Sentences of a finding in Chinese and English; each ends with the article that decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tanqiao.claims.articles import ARTICLES

_LEVELS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "subject": ("主体", "the subject"),
        "project": ("项目", "the project"),
        "interval": ("期间", "the period"),
        "quantity": ("电量", "the quantity"),
        "policy": ("复核", "a review"),
    }
)
_WITH_CLAIMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ALLOW": ("一并列示：{claims}。", "Shown beside it: {claims}."),
        "FREEZE_OTHER": (
            "须请对方登记系统先行冻结或注销：{claims}。",
            "The other registry must freeze or cancel first: {claims}.",
        ),
        "SPLIT": (
            "仅无争议部分可以通过，冲突：{claims}。",
            "Only the uncontested part would pass; colliding: {claims}.",
        ),
        "HOLD": (
            "{zh_level}层面须人工复核：{claims}。",
            "A person must look at {en_level}: {claims}.",
        ),
        "BLOCK": ("{zh_level}层面冲突，不予通过：{claims}。", "Collides at {en_level}: {claims}."),
    }
)
_WITHOUT_CLAIMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ALLOW": ("未发现冲突。", "Nothing collides."),
        "FREEZE_OTHER": ("须请对方登记系统先行办理。", "The other registry must act first."),
        "SPLIT": ("仅无争议部分可以通过。", "Only the uncontested part would pass."),
        "HOLD": ("{zh_level}层面须人工复核。", "A person must look at {en_level}."),
        "BLOCK": ("{zh_level}层面不予通过。", "Does not pass at {en_level}."),
    }
)


def finding_sentences(verdict: str, level: str, article: str, claim_ids: tuple[str, ...]) -> tuple[str, str]:
    """Give the sentence in Chinese and in English; verdict and level in the words of the case schema."""
    zh, en = (_WITH_CLAIMS if claim_ids else _WITHOUT_CLAIMS)[verdict]
    zh_level, en_level = _LEVELS[level]
    source = ARTICLES[article]
    claims = ", ".join(claim_ids)
    return (
        f"{zh.format(claims=claims, zh_level=zh_level)}（{source.zh}）",
        f"{en.format(claims=claims, en_level=en_level)} ({source.en})",
    )
