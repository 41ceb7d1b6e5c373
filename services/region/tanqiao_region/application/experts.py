"""The pool of experts and the draw of a panel (RULES section 7.4, inferred from SZ-11a).

Two bodies commit to a share of the seed each, before the pool is frozen: the applicant, and an office that
appoints panels. With the second commitment the pool is frozen into the dossier, each exclusion with its
reason. Only then the shares are revealed; seed = SHA-256(shares in the order of roles). Whoever has the
dossier can hold the draw again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from typing import Final

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, parse_wire_date, require_bytes, require_count, require_text
from tanqiao_region.application import journal
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once, require_id
from tanqiao_region.application.register_facts import date_or_none
from tanqiao_region.domain.panel_draw import Candidate, drawn_again
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import dossiers as store
from tanqiao_region.storage.dossiers import POOL_MAX, DossierRow

SHARES: Final = 2
COMMITMENT_BYTES: Final = 32
SHARE_BYTES_MIN: Final = 16
SHARE_BYTES_MAX: Final = 64
WORDS_MAX: Final = 32
"""Most fields or interests of one expert."""


class Experts:
    """Keeps the pool."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def keep(self, ask: Ask, request: dossiers_pb2.KeepExpertRequest) -> dossiers_pb2.KeepExpertResponse:
        """Appoint an expert, or write what stands in the pool from now on."""
        kept = self._submit(lambda group: once(group, ask, lambda: _keep(group, ask, request)))
        return dossiers_pb2.KeepExpertResponse.FromString(kept)


def _keep(group: Group, ask: Ask, request: dossiers_pb2.KeepExpertRequest) -> dossiers_pb2.KeepExpertResponse:
    message = _clean(request.expert)
    expert_id = message.expert_id
    verdict = group.pack.require(acts.KeepExpertPool(**act_facts(group, ask.by), expert_id=expert_id))
    known = expert_id in store.load_experts(group.connection, [expert_id])
    if not known and len(store.list_experts(group.connection, after="", limit=POOL_MAX)) >= POOL_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="expert", limit=POOL_MAX, count=POOL_MAX + 1)
    store.store_expert(group.connection, message, known=known)
    group.journal.append(
        journal.EXPERT_KEPT,
        expert_id,
        applied=journal.Applied.of(verdict),
        details={"by": ask.by.party, "suspended": str(message.suspended).lower()},
    )
    return dossiers_pb2.KeepExpertResponse(expert=message)


def _clean(given: dossiers_pb2.Expert) -> dossiers_pb2.Expert:
    for name in ("fields", "interests"):
        words = getattr(given, name)
        require_count(words or [""], f"expert.{name}", limit=WORDS_MAX)
        for position, word in enumerate(words):
            require_text(word, f"expert.{name}[{position}]", length_max=64)
    if not given.fields:
        raise DomainError("FIELD_MISSING", field="expert.fields")
    appointed = parse_wire_date(given.appoint_date, "expert.appoint_date")
    ends = date_or_none(given.end_date, "expert.end_date")
    if ends is not None and ends <= appointed:
        raise DomainError("FIELD_INVALID", field="expert.end_date", detail=ends.isoformat())
    message = dossiers_pb2.Expert(
        expert_id=require_id(given.expert_id, "expert.expert_id"),
        name=require_text(given.name, "expert.name"),
        fields=sorted(set(given.fields)),
        employer=optional_text(given.employer, "expert.employer"),
        interests=sorted(set(given.interests)),
        appoint_date=given.appoint_date,
        suspended=given.suspended,
    )
    if ends is not None:
        message.end_date.CopyFrom(given.end_date)
    return message


# -- conflicts and panels


def parties_of(group: Group, dossier: dossiers_pb2.Dossier) -> tuple[frozenset[str], str]:
    """Give who wrote the file, and the name of the organisation that applies; empty for a person."""
    account = (
        group.load_accounts([dossier.account_id]).get(dossier.account_id) if dossier.account_id else None
    )
    applicant = "" if account is None or account.is_personal else account.display_name
    return frozenset(dossier.authors), applicant


def panel_member(
    expert: dossiers_pb2.Expert | None, expert_id: str, authors: frozenset[str], applicant: str, on: date
) -> acts.PanelMember:
    """Give an expert as the rules see one on a panel, with what could make the expert stand aside."""
    if expert is None:
        return acts.PanelMember(expert_id=expert_id, in_pool=False)
    bodies = authors | ({applicant} if applicant else frozenset())
    return acts.PanelMember(
        expert_id=expert_id,
        in_pool=in_office(expert, on),
        fields=frozenset(expert.fields),
        wrote_the_file=expert_id in authors or expert.name in authors,
        employed_by_author=bool(expert.employer) and expert.employer in authors,
        employed_by_applicant=bool(expert.employer) and expert.employer == applicant,
        declared_interest=", ".join(sorted(set(expert.interests) & bodies)),
    )


def in_office(expert: dossiers_pb2.Expert, on: date) -> bool:
    """Whether the expert is of the pool on a day."""
    appointed, ends = date_or_none(expert.appoint_date), date_or_none(expert.end_date)
    begun = appointed is not None and appointed <= on
    return begun and not expert.suspended and (ends is None or on < ends)


def panel_of_experts(group: Group, dossier: dossiers_pb2.Dossier, expert_ids: Iterable[str]) -> acts.Panel:
    """Give a panel that was named and not drawn, each member as the pool has the expert today."""
    authors, applicant = parties_of(group, dossier)
    named = tuple(dict.fromkeys(expert_ids))
    known = store.load_experts(group.connection, named)
    return acts.Panel(
        members=tuple(
            panel_member(known.get(one), one, authors, applicant, group.legal_date) for one in named
        )
    )


def panel_of_assessors(group: Group, account_id: str, assessors: Iterable[str]) -> acts.Panel | None:
    """Give those who assess a project and are of the pool, with what they have with its applicant.

    None where nobody of them is: a file names assessors in words, and the pool knows its own.
    """
    known = store.load_experts(group.connection, assessors)
    if not known:
        return None
    account = group.load_accounts([account_id]).get(account_id)
    applicant = "" if account is None or account.is_personal else account.display_name
    return acts.Panel(
        members=tuple(
            panel_member(one, expert_id, frozenset(), applicant, group.legal_date)
            for expert_id, one in sorted(known.items())
        )
    )


# -- the draw


def give_share(group: Group, row: DossierRow, role: str, request: dossiers_pb2.GiveSeedShareRequest) -> None:
    """Note a body's commitment or share; the second commitment freezes the pool."""
    shares = row.message.seed_shares
    own = next((one for one in shares if one.role == role), None)
    if request.WhichOneof("given") == "commitment":
        commitment = require_bytes(request.commitment, COMMITMENT_BYTES, "commitment")
        if own is not None or len(shares) >= SHARES:
            raise DomainError("ALREADY_EXISTS", field="commitment", what="commitment", id=role)
        shares.append(dossiers_pb2.SeedShare(role=role, commitment=commitment))
        if len(shares) == SHARES:
            _freeze_pool(group, row.message)
        return
    if not SHARE_BYTES_MIN <= len(request.share) <= SHARE_BYTES_MAX:
        detail = f"{SHARE_BYTES_MIN} to {SHARE_BYTES_MAX} bytes are wanted"
        raise DomainError("FIELD_INVALID", field="share", detail=detail)
    if own is None or len(shares) < SHARES:
        detail = "每份承诺须先在册 every commitment must be on record first"
        raise DomainError("FIELD_INVALID", field="share", detail=detail)
    if hashlib.sha256(request.share).digest() != own.commitment:
        detail = "与承诺不符 not the share that was committed to"
        raise DomainError("FIELD_INVALID", field="share", detail=detail)
    own.share = request.share


def _freeze_pool(group: Group, dossier: dossiers_pb2.Dossier) -> None:
    authors, applicant = parties_of(group, dossier)
    dossier.panel.field = dossier.field
    for expert in store.list_experts(group.connection, after="", limit=POOL_MAX):
        member = panel_member(expert, expert.expert_id, authors, applicant, group.legal_date)
        dossier.panel.candidates.append(
            registers_pb2.PanelCandidate(
                expert_id=expert.expert_id, fields=expert.fields, excluded_because=_exclusion(member)
            )
        )


def _exclusion(member: acts.PanelMember) -> str:
    grounds = {
        "不在任期 not in office": not member.in_pool,
        "编制人 author": member.wrote_the_file,
        "编制单位雇员 employed by the author": member.employed_by_author,
        "申请人雇员 employed by the applicant": member.employed_by_applicant,
        f"申报利益 {member.declared_interest}": bool(member.declared_interest),
    }
    return "; ".join(ground for ground, holds in grounds.items() if holds)


def seed_of(dossier: dossiers_pb2.Dossier) -> bytes:
    """Give the seed of a dossier's draw: SHA-256 of the shares in the order of their roles."""
    shares = sorted(dossier.seed_shares, key=lambda one: one.role)
    return hashlib.sha256(b"".join(one.share for one in shares)).digest()


def draw_panel(group: Group, dossier: dossiers_pb2.Dossier) -> None:
    """Hold the draw once both shares are known; a field with too few experts is refused, never shrunk.

    Raises:
        DomainError: EXPERT_DRAW_MISSING, or what the pack's parameter says while it is not set.
    """
    key = f"{group.pack.identity.pack_id.partition('-')[0]}.expert_draw"
    table = group.pack.parameters.on(group.legal_date).table(key)
    wanted, reserves = (int(str(table.get(name, 0))) for name in ("n", "reserves"))
    candidates = [
        Candidate(one.expert_id, frozenset(one.fields), one.excluded_because)
        for one in dossier.panel.candidates
    ]
    shares = dossier.seed_shares
    if len(shares) < SHARES or not all(one.share for one in shares):
        eligible, _ = drawn_again(candidates, dossier.field, b"", wanted)
        raise DomainError("EXPERT_DRAW_MISSING", n=wanted, m=eligible)
    panel = dossier.panel
    panel.seed = seed_of(dossier)
    panel.wanted = wanted
    eligible, drawn = drawn_again(candidates, dossier.field, panel.seed, wanted + reserves)
    if eligible < wanted:
        raise DomainError("EXPERT_DRAW_MISSING", n=wanted, m=eligible)
    panel.members[:] = drawn[:wanted]
    panel.reserves[:] = drawn[wanted:]
