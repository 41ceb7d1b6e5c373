"""The report of a verification: steps that held, numbered, each with the section of PROTOCOL that asks it.

What no file can prove is said in every report, and what this kind of file leaves to the witnesses besides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.offline import NOT_PROVABLE, Language

__all__ = ["Report", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One check that held."""

    number: int
    section: str
    english: str
    chinese: str

    def sentence_in(self, language: Language) -> str:
        """Give the sentence."""
        return self.english if language == "en" else self.chinese


@dataclass
class Report:
    """Steps that held, the refusal that ended them, if any, and what they add up to."""

    kind: str = ""
    steps: list[Step] = field(default_factory=list)
    refusal: TlogError | None = None
    statement: tuple[str, str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    left_open: list[tuple[str, str]] = field(default_factory=list)
    policy: bytes = b""
    """The policy that a handover gives to who had the one before; empty for every other kind."""

    @property
    def holds(self) -> bool:
        """Whether every check held and something is proven."""
        return self.refusal is None and self.statement is not None

    def held(self, section: str, english: str, chinese: str) -> None:
        """Write down a check that held; `section` is that of PROTOCOL."""
        self.steps.append(Step(len(self.steps) + 1, section, english, chinese))

    def leave_open(self, english: str, chinese: str) -> None:
        """Write down what this file does not show by itself."""
        self.left_open.append((english, chinese))

    def conclude(self, english: str, chinese: str, **facts: object) -> None:
        """State what is proven."""
        self.statement = (english, chinese)
        self.facts.update(facts)

    def lines(self, language: Language) -> list[str]:
        """Give the report as lines of text."""
        at = 0 if language == "en" else 1
        lines = [f"{step.number}. [{step.section}] {step.sentence_in(language)}" for step in self.steps]
        if self.refusal is not None:
            word = ("REFUSED", "拒绝")[at]
            return [*lines, f"{word}: {self.refusal.reason}: {self.refusal.sentence_in(language)}"]
        if self.statement is not None:
            lines.append(f"{('PROVEN', '已证明')[at]}: {self.statement[at]}")
        lines.append(("Not proven by this file:", "本文件不能证明：")[at])
        lines += [f"- {sentence[at]}" for sentence in (*self.left_open, *NOT_PROVABLE)]
        return lines

    def document(self) -> dict[str, Any]:
        """Give the report as a JSON document."""
        refusal = self.refusal
        return {
            "kind": self.kind,
            "holds": self.holds,
            "statement_en": self.statement[0] if self.holds and self.statement else "",
            "statement_zh": self.statement[1] if self.holds and self.statement else "",
            "facts": self.facts,
            "steps": [
                {"number": s.number, "protocol": s.section, "en": s.english, "zh": s.chinese}
                for s in self.steps
            ],
            "refusal": None
            if refusal is None
            else {
                "reason": refusal.reason,
                "en": refusal.sentence_in("en"),
                "zh": refusal.sentence_in("zh"),
            },
            "not_proven": [{"en": en, "zh": zh} for en, zh in (*self.left_open, *NOT_PROVABLE)],
        }
