"""Facts of certificates of carbon neutrality: asked for, recognised, signed, revoked."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.units import UnitLot


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts(Facts):
    """What a certificate rests on.

    Args:
        lots: the retired units behind it.
        retired_purposes: purpose of the retirement of each lot; empty text = not retired.
        used_in_certificates: number of the certificate that each lot already backs; empty text = none.
        beneficiary_id: whose neutrality is certified.
        retirement_id: the retirement it rests on.
    """

    lots: tuple[UnitLot, ...]
    retired_purposes: tuple[str, ...]
    used_in_certificates: tuple[str, ...]
    beneficiary_id: str
    retirement_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCertificate(CertificateFacts):
    """The holder of retired units asks for a certificate of carbon neutrality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignCertificate(CertificateFacts):
    """An electronic carbon-neutrality certificate is signed.

    Args:
        recognised_by_role: role that recognised it.
    """

    recognised_by_role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniseCertificate(Facts):
    """A neutrality is recognised, or its recognition refused.

    Args:
        number: the certificate's.
    """

    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeCertificate(Facts):
    """A certificate that rested on a wrong base is revoked.

    Args:
        number: the certificate's.
        reason: why.
        document: what shows that the base was wrong.
        second_approver_id: who approves it beside the actor.
    """

    number: str
    reason: str
    document: str
    second_approver_id: str | None = None
