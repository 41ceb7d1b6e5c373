"""What every act has: its legal date, its node, who acts, and the signatures over the decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from tanqiao_region.domain.rules.facts.parties import SubjectType


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who performs the act.

    Args:
        subject_id: the acting person's or body's own id; two persons of one body differ here.
        role: role of the pack, ``<region>.<role>``.
        subject_type: what kind of subject it is.
        area: district or area for which a local office acts, if it is one.
    """

    subject_id: str
    role: str
    subject_type: SubjectType = SubjectType.AUTHORITY
    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A body's signature over the decision.

    Args:
        role: role of the pack for which the signer signed.
        subject_id: the person who signed.
        decision_digest: hexadecimal digest of the bytes that were signed; one over an older version of the
            file has another digest and does not count (RULES section 7.3).
    """

    role: str
    subject_id: str
    decision_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Base of the facts of every act.

    Args:
        on: legal date of the act, Asia/Shanghai; it chooses the pack and the parameters.
        node_region: division code of the node that is asked.
        object_region: division code of the register or series that the command names.
        actor: who acts.
        submitted_by: id of the person who submitted the file that is decided, where one is.
        decision_digest: digest of the decision, the pack version and the file's version, hexadecimal.
        signatures: signatures on record over the decision.
    """

    on: date
    node_region: str
    object_region: str
    actor: Actor
    submitted_by: str | None = None
    decision_digest: str = ""
    signatures: tuple[Signature, ...] = ()

    @classmethod
    def act(cls) -> str:
        """Name of the act."""
        return cls.__name__
