"""Bad requests to the dossiers of a region node: data for a suite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.rpc.validation import wire_date
from tests.contract.region.bad_requests import Case, put, same
from tests.contract.region.dossier_requests import DOSSIER, KNOWN

LATER: Final = registers_pb2.PublicConsultation(comments_answered=True)


def dossiers() -> Iterator[Case]:
    """Bad requests."""
    opening = DOSSIER + "OpenDossier"
    yield Case(opening, "no dossier", "FIELD_MISSING", put(dossier=None))
    yield Case(opening, "no kind", "FIELD_MISSING", put(dossier__kind=0))
    yield Case(opening, "a kind without a register here", "FIELD_INVALID", put(dossier__kind=2))
    yield Case(opening, "no id", "FIELD_MISSING", put(dossier__dossier_id=""))
    yield Case(opening, "an id of other letters", "FIELD_INVALID", put(dossier__dossier_id="a:b"))
    yield Case(opening, "the id of another", "ALREADY_EXISTS", put(dossier__dossier_id=KNOWN))
    yield Case(opening, "no title", "FIELD_MISSING", put(dossier__title=""))
    yield Case(opening, "an unknown account", "ACCOUNT_UNKNOWN", put(dossier__account_id="A" + "2" * 16))
    yield Case(opening, "too many authors", "BATCH_TOO_LARGE", put(dossier__authors=["甲"] * 65))
    yield Case(
        opening, "a part is missing", "APPLICATION_INCOMPLETE", put(dossier__parts=["baseline"]), article=True
    )
    yield Case(opening, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.exchange", article=True)
    for name in ("TakeStep", "SignStep"):
        yield Case(DOSSIER + name, "no kind", "FIELD_MISSING", put(kind=0))
        yield Case(DOSSIER + name, "no dossier", "FIELD_MISSING", put(dossier_id=""))
        yield Case(DOSSIER + name, "an unknown dossier", "NOT_FOUND", put(dossier_id="NOBODY"))
        yield Case(DOSSIER + name, "no event", "FIELD_MISSING", put(event=""))
        yield Case(DOSSIER + name, "an event that is none", "FIELD_INVALID", put(event="explode"))
    step = DOSSIER + "TakeStep"
    yield Case(step, "not open in this state", "STATE_NOT_ALLOWED", put(event="publish"))
    yield Case(step, "a rejection without a reason", "FIELD_MISSING", put(event="reject"))
    yield Case(step, "another's withdrawal", "ROLE_NOT_PERMITTED", put(event="withdraw"))
    yield Case(step, "no consultation", "CONSULTATION_NOT_HELD", put(event="close_consultation"))
    yield Case(
        step,
        "a consultation without days",
        "CONSULTATION_NOT_HELD",
        put(event="close_consultation", evidence__consultation=LATER),
    )
    yield Case(step, "too many assessors", "BATCH_TOO_LARGE", put(evidence__assessors=["E"] * 17))
    yield Case(step, "an over-long opinion", "TEXT_TOO_LONG", put(evidence__opinion="字" * 2001))
    yield Case(step, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.exchange", article=True)
    sign = DOSSIER + "SignStep"
    yield Case(sign, "a decision of one body", "FIELD_INVALID", put(event="reject", evidence__reason="虚构"))
    yield Case(sign, "no rule", "FIELD_MISSING", put(evidence__rule_text=""))
    yield Case(
        sign, "units of behaviour", "SECOND_SIGNATURE_MISSING", put(evidence__yields="units"), article=True
    )
    yield Case(sign, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.bureau", article=True)
    yield from _statements(sign)
    share = DOSSIER + "GiveSeedShare"
    yield Case(share, "no draw in this machine", "STATE_NOT_ALLOWED", same)
    yield Case(share, "nothing given", "FIELD_MISSING", put(commitment=None))
    yield Case(share, "an unknown dossier", "NOT_FOUND", put(dossier_id="NOBODY"))
    for name in ("GetDossier", "ListDossierSteps"):
        yield Case(DOSSIER + name, "no kind", "FIELD_MISSING", put(kind=0))
        yield Case(DOSSIER + name, "an unknown dossier", "NOT_FOUND", put(dossier_id="NOBODY"))
        yield Case(DOSSIER + name, "what is no stranger's", "NOT_FOUND", same, role="reader/national")
    yield Case(DOSSIER + "ListDossiers", "no kind", "FIELD_MISSING", put(kind=0))
    keep = DOSSIER + "KeepExpert"
    yield Case(keep, "no expert", "FIELD_MISSING", put(expert=None))
    yield Case(keep, "no id", "FIELD_MISSING", put(expert__expert_id=""))
    yield Case(keep, "no name", "FIELD_MISSING", put(expert__name=""))
    yield Case(keep, "no field", "FIELD_MISSING", put(expert__fields=[]))
    yield Case(keep, "no day", "FIELD_MISSING", put(expert__appoint_date=None))
    yield Case(keep, "ended before", "FIELD_INVALID", put(expert__end_date=wire_date(date(2025, 1, 1))))
    yield Case(keep, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.centre", article=True)


def _statements(sign: str) -> Iterator[Case]:
    """Signed decisions; what else one may be wrong about stands with the scenes."""
    yield Case(sign, "nobody's signature", "FIELD_MISSING", put(statement=None))
    yield Case(sign, "other bytes", "SIGNATURE_INVALID", put(statement__payload=b"\x0a\x00"))
    yield Case(sign, "another rule", "DECISION_DIFFERS", put(evidence__rule_text="另一规则 another"))
