"""Subjects of a register: what they are, and what they have signed or been granted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final


class SubjectType(StrEnum):
    """What a subject is; which types may do what is a pack's business."""

    AUTHORITY = "authority"
    EXCHANGE = "exchange"
    PUBLIC_INSTITUTION = "public_institution"
    ENTERPRISE = "enterprise"
    SMALL_MICRO_ENTERPRISE = "small_micro_enterprise"
    COVERED_EMITTER = "covered_emitter"
    SOCIAL_ORGANISATION = "social_organisation"
    DATA_OPERATOR = "data_operator"
    THIRD_PARTY = "third_party"
    OUTSIDE_BUYER = "outside_buyer"
    HOUSEHOLD = "household"
    PERSON = "person"


INDIVIDUALS: Final = frozenset({SubjectType.HOUSEHOLD, SubjectType.PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """A signed promise not to take part in excluded programmes.

    Args:
        signed_on: legal date of the signature.
        breached_on: legal date on which a breach was recorded, if one was.
    """

    signed_on: date
    breached_on: date | None = None

    def in_force(self, on: date) -> bool:
        """Whether the promise stands on the legal date."""
        return self.signed_on <= on and (self.breached_on is None or on < self.breached_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedMandate:
    """A mandate as the registers show it: who may act for whom, in a half-open period."""

    principal_id: str
    agent_id: str
    valid_from: date
    valid_to: date | None = None

    def in_force(self, on: date) -> bool:
        """Whether the mandate stands on the legal date."""
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A subject as the registers show it on the legal date of the act.

    Args:
        subject_id: account or register id; never a person's identity number.
        subject_type: what it is.
        seat_region: division code of its seat.
        acts_in_region: division code of where the act takes place, if it is another.
        operator_id: the registered operator through which an individual acts under a mandate.
        registered_from: date of the decision that registered it as a data-platform operator.
        suspended_from: date from which that registration is suspended.
        declaration_signed_on: date of the signed declaration not to profit from public data.
        small_micro_document: document that attests its size, for a small or micro enterprise.
        commitment: its promise not to take part elsewhere.
        qualified_to_trade: whether it is on the exchange's list of trading subjects.
        rights_provider: whether it is admitted as a rights provider.
        covered_emitter: whether it is on the list of covered emitters of the year.
        roles_held: parts in which it is known to the registers, such as ``project_applicant``.
    """

    subject_id: str
    subject_type: SubjectType
    seat_region: str
    acts_in_region: str | None = None
    operator_id: str | None = None
    registered_from: date | None = None
    suspended_from: date | None = None
    declaration_signed_on: date | None = None
    small_micro_document: str | None = None
    commitment: Commitment | None = None
    qualified_to_trade: bool = False
    rights_provider: bool = False
    covered_emitter: bool = False
    roles_held: frozenset[str] = frozenset()

    @property
    def is_individual(self) -> bool:
        """Whether it is a person or a household."""
        return self.subject_type in INDIVIDUALS

    @property
    def acts_alone(self) -> bool:
        """Whether it is an individual without an operator."""
        return self.is_individual and self.operator_id is None

    def registered(self, on: date) -> bool:
        """Whether its registration as an operator stands on the legal date."""
        if self.registered_from is None or on < self.registered_from:
            return False
        return self.suspended_from is None or on < self.suspended_from
