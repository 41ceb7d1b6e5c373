"""Who may do what: separation of duties and joint decisions as tables of a pack (RULES section 7).

Deny by default: an act that the table does not list, or lists without the actor's role, is refused. The row
names the rule that gives the act to its body; a role that the text keeps from deciding carries a rule of its
own, which is then the one cited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao_region.domain.rules.facts import Actor, Facts
from tanqiao_region.domain.rules.verdicts import Refusal, refuse

ANY_ROLE: Final = "*"


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the pack: its body in both languages, and the rule that limits it, if one does."""

    role: str
    body_zh: str
    body_en: str
    limited_by: str = ""


@dataclass(frozen=True, slots=True)
class Duty:
    """A row of the table: who may perform an act, and by which rule."""

    act: str
    roles: frozenset[str]
    rule_id: str
    same_area: bool = False


@dataclass(frozen=True, slots=True)
class JointDecision:
    """An act that takes effect only when every one of these roles has signed the same digest.

    Args:
        act: name of the act.
        roles: roles that must sign.
        rule_id: rule that demands it.
        scene_kind: only for this kind of scene; empty = whenever the act is performed.
    """

    act: str
    roles: tuple[str, ...]
    rule_id: str
    scene_kind: str = ""

    def applies_to(self, facts: Facts) -> bool:
        """Whether the act needs these signatures."""
        kind: object = getattr(facts, "scene_kind", "")
        return self.act == facts.act() and (not self.scene_kind or self.scene_kind == kind)


@dataclass(frozen=True, slots=True)
class Located:
    """A refusal together with the rule of the row that gave it."""

    rule_id: str
    refusal: Refusal


class RoleTable:
    """The roles, duties and joint decisions of a pack."""

    def __init__(
        self,
        roles: Iterable[Role],
        duties: Iterable[Duty],
        joint: Iterable[JointDecision] = (),
        *,
        default_rule_id: str,
    ) -> None:
        self._default_rule_id = default_rule_id
        self.roles: Mapping[str, Role] = {entry.role: entry for entry in roles}
        self.duties: tuple[Duty, ...] = tuple(duties)
        self.joint: tuple[JointDecision, ...] = tuple(joint)
        self._by_act: dict[str, tuple[Duty, ...]] = {}
        for duty in self.duties:
            self._by_act[duty.act] = (*self._by_act.get(duty.act, ()), duty)
        self._joint_by_act: dict[str, tuple[JointDecision, ...]] = {}
        for decision in self.joint:
            held = self._joint_by_act.get(decision.act, ())
            self._joint_by_act[decision.act] = (*held, decision)

    def permits(self, role: str, act: str) -> bool:
        """Whether the role may perform the act."""
        return any(role in duty.roles or ANY_ROLE in duty.roles for duty in self._by_act.get(act, ()))

    def roles_for(self, act: str) -> frozenset[str]:
        """Give the roles that may perform the act."""
        return frozenset(role for duty in self._by_act.get(act, ()) for role in duty.roles)

    def rules_asked(self, facts: Facts) -> tuple[str, ...]:
        """Give the rules that answer for the act's roles and signatures, each once and in order."""
        duties = [duty.rule_id for duty in self._by_act.get(facts.act(), ())]
        joint = [
            decision.rule_id
            for decision in self._joint_by_act.get(facts.act(), ())
            if decision.applies_to(facts)
        ]
        role = self.roles.get(facts.actor.role)
        limits = [role.limited_by] if role is not None and role.limited_by else []
        return tuple(dict.fromkeys([*(duties or [self._default_rule_id]), *limits, *joint]))

    def check(self, facts: Facts) -> tuple[Located, ...]:
        """Answer for the actor's role, the actor's area, and missing signatures of a joint decision."""
        return (*self._role_refusals(facts), *self._missing_signatures(facts))

    def check_duty(self, actor: Actor, acts: Sequence[str]) -> tuple[Located, ...]:
        """Answer for a step that belongs to whoever has one of these acts; the first act is the one cited."""
        if any(self.permits(actor.role, act) for act in acts):
            return ()
        return (Located(self._rule_for(actor, acts[0]), self._refusal(actor, acts[0])),)

    def rules_of_duty(self, acts: Iterable[str]) -> tuple[str, ...]:
        """Give the rules of the rows that hand out these acts."""
        return tuple(dict.fromkeys(duty.rule_id for act in acts for duty in self._by_act.get(act, ())))

    def _role_refusals(self, facts: Facts) -> list[Located]:
        act, actor = facts.act(), facts.actor
        if self.permits(actor.role, act):
            if self._in_own_area(facts):
                return []
            return [Located(self._rule_for(actor, act), self._refusal(actor, act))]
        return [Located(self._rule_for(actor, act), self._refusal(actor, act))]

    def _in_own_area(self, facts: Facts) -> bool:
        area: object = getattr(facts, "area", None)
        bound = any(
            duty.same_area and facts.actor.role in duty.roles for duty in self._by_act.get(facts.act(), ())
        )
        return not bound or area is None or area == facts.actor.area

    def _rule_for(self, actor: Actor, act: str) -> str:
        role = self.roles.get(actor.role)
        if role is not None and role.limited_by:
            return role.limited_by
        duties = self._by_act.get(act, ())
        return duties[0].rule_id if duties else self._default_rule_id

    def _refusal(self, actor: Actor, act: str) -> Refusal:
        bodies = [self.roles[role] for role in sorted(self.roles_for(act)) if role in self.roles]
        role = self.roles.get(actor.role)
        shown = f"{role.body_zh} {role.body_en}" if role is not None else actor.role
        return refuse(
            "ROLE_NOT_PERMITTED",
            role=f"{actor.role}: {shown}" if role is not None else shown,
            action=act,
            body=" / ".join(f"{body.body_zh} ({body.body_en})" for body in bodies) or "–",
        )

    def _missing_signatures(self, facts: Facts) -> list[Located]:
        found: list[Located] = []
        for decision in self._joint_by_act.get(facts.act(), ()):
            if not decision.applies_to(facts):
                continue
            valid = {
                signature.role
                for signature in facts.signatures
                if facts.decision_digest and signature.decision_digest == facts.decision_digest
            }
            missing = [role for role in decision.roles if role not in valid]
            if missing:
                found.append(
                    Located(
                        decision.rule_id,
                        refuse(
                            "SECOND_SIGNATURE_MISSING",
                            a=self._body(decision.roles[0]),
                            b=self._body(decision.roles[-1]),
                            missing=[self._body(role) for role in missing],
                        ),
                    )
                )
        return found

    def _body(self, role: str) -> str:
        entry = self.roles.get(role)
        return f"{entry.body_zh} ({entry.body_en})" if entry is not None else role
