"""Facts of offices and accounts: who is admitted to what, and who may read or publish."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.parties import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount(Facts):
    """An account is opened for a holder."""

    holder: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDataOperator(Facts):
    """A data-platform operator is registered.

    Args:
        applicant: the operator.
        has_personal_accounts: whether its platform keeps an account per user.
        records_behaviour: whether it can record inclusion behaviour.
        fields: fields it works in, such as ``travel``.
    """

    applicant: Subject
    has_personal_accounts: bool
    records_behaviour: bool
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitRightsProvider(Facts):
    """A body is admitted as a rights provider to the points mall."""

    applicant: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepExpertPool(Facts):
    """An expert is appointed, suspended or released."""

    expert_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRuleDocument(Facts):
    """A rule document, an annual notice or a dated parameter is published.

    Args:
        document_kind: ``points_rule``, ``offset_notice``, ``guide`` or ``parameter``.
    """

    document_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRegister(Facts):
    """Files of a register that are not public are read by an office.

    Args:
        area: district or area that the file belongs to, if it belongs to one.
    """

    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSupervisionCase(Facts):
    """An office opens a case or comments on one.

    Args:
        area: district or area that the case lies in, if it lies in one.
    """

    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPersonalRecords(Facts):
    """Records about persons are read; the reading is logged with its purpose.

    Args:
        purpose: what they are read for.
        leaves_region: whether the records would leave the region.
    """

    purpose: str
    leaves_region: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscloseField(Facts):
    """A field is handed to a reader.

    Args:
        field_class: ``public``, ``business``, ``personal`` or ``secret``.
        audience: ``public``, ``bridge``, ``owner`` or ``office``.
    """

    field_class: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MintPoints(Facts):
    """Points are computed from issued units and minted to an operator."""

    operator: Subject
    issuance_id: str
