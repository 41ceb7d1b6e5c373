"""Certificates of carbon neutrality (Art. 26): what they rest on, who recognises, and how one is revoked."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, Refusal, refuse, rule
from tanqiao_region.domain.rules.checks import ranges
from tanqiao_region.domain.rules.facts import (
    RecogniseCertificate,
    RequestCertificate,
    RevokeCertificate,
    SignCertificate,
)
from tanqiao_region.rulepacks.sz_draft.rules_units import PROGRAMME, VOLUNTARY_PURPOSES


@rule("SZ-26b", article="26¶2", mark="MUST")
def certificate_of_neutrality(
    facts: RequestCertificate | SignCertificate, parameters: DatedParameters
) -> Outcomes:
    """Asked for and signed on the city's own units, retired voluntarily and behind no other certificate.

    Who recognises is not said: without the parameter there is no certificate (slip D-19).
    """
    recogniser = parameters.text("sz.certificate.recogniser")
    parameters.text("sz.certificate.standard")
    found: list[Refusal] = []
    if isinstance(facts, SignCertificate) and facts.recognised_by_role != recogniser:
        found.append(_not_the_recogniser(facts.recognised_by_role, recogniser))
    foreign = [lot for lot in facts.lots if lot.programme != PROGRAMME]
    if foreign:
        found.append(
            refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=foreign[0].origin_region, ranges=ranges(foreign))
        )
    if not facts.lots or any(purpose not in VOLUNTARY_PURPOSES for purpose in facts.retired_purposes):
        found.append(refuse("CERTIFICATE_UNITS_NOT_RETIRED"))
    used = {
        number: [
            lot for lot, other in zip(facts.lots, facts.used_in_certificates, strict=True) if other == number
        ]
        for number in sorted(set(facts.used_in_certificates) - {""})
    }
    found.extend(
        refuse("CERTIFICATE_UNITS_ALREADY_USED", number=number, ranges=ranges(lots))
        for number, lots in used.items()
    )
    return tuple(found)


@rule("SZ-26b", article="26¶2", mark="MUST")
def recognised_by_the_body_that_is_named(
    facts: RecogniseCertificate | RevokeCertificate, parameters: DatedParameters
) -> Outcomes:
    """The body that the parameter names recognises, and takes its recognition back."""
    recogniser = parameters.text("sz.certificate.recogniser")
    parameters.text("sz.certificate.standard")
    return None if facts.actor.role == recogniser else _not_the_recogniser(facts.actor.role, recogniser)


def _not_the_recogniser(role: str, recogniser: str) -> Refusal:
    return refuse("ROLE_NOT_PERMITTED", role=role, action="recognise", body=recogniser)


@rule("POLICY-revocation", article="节点政策：撤销证书须两人 node policy: two persons revoke", mark="POLICY")
def revoked_by_two_persons(facts: RevokeCertificate, _parameters: DatedParameters) -> Outcomes:
    """A revocation has a reason, a document and a second approver who is another person."""
    second = facts.second_approver_id
    if not facts.reason.strip() or not facts.document.strip() or second is None:
        return refuse("REASON_REQUIRED")
    return refuse("SELF_APPROVAL_FORBIDDEN") if second == facts.actor.subject_id else None
