"""The register of methodologies: kind and class are fixed for ever (SH-9, SH-11, SZ-11b)."""

from __future__ import annotations

from collections.abc import Callable

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.working_days import Calendar
from tanqiao.rpc.validation import (
    optional_text,
    require_count,
    require_enum,
    require_text,
    wire_date,
)
from tanqiao_region.application import journal
from tanqiao_region.application.claim_steps import (
    Ask,
    Submit,
)
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import (
    CANDIDATES_MAX,
    DOCUMENTS_MAX,
    act_facts,
    once,
    require_id,
)
from tanqiao_region.application.register_facts import (
    KINDS,
    assessment_of,
    consultation_of,
    date_or_none,
    document_kinds,
    methodology_version,
    panel_of,
)
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import MethodologyRow


class Methodologies:
    """Publication of methodologies.

    Args:
        submit: the node's writer.
        calendar: working days, for consultations that are counted in them.
    """

    def __init__(self, submit: Submit, calendar: Callable[[], Calendar]) -> None:
        self._submit = submit
        self._calendar = calendar

    def publish(
        self, ask: Ask, request: registers_pb2.PublishMethodologyRequest
    ) -> registers_pb2.PublishMethodologyResponse:
        """Publish a methodology; kind and class are fixed with it."""
        kept = self._submit(lambda group: once(group, ask, lambda: self._publish(group, ask, request)))
        return registers_pb2.PublishMethodologyResponse.FromString(kept)

    def _publish(
        self, group: Group, ask: Ask, request: registers_pb2.PublishMethodologyRequest
    ) -> registers_pb2.PublishMethodologyResponse:
        message, _ = self.enter(group, ask.by, request)
        return registers_pb2.PublishMethodologyResponse(methodology=message)

    def enter(
        self,
        group: Group,
        by: By,
        request: registers_pb2.PublishMethodologyRequest,
        *,
        submitted_by: str | None = None,
        missing_documents: frozenset[str] = frozenset(),
    ) -> tuple[registers_pb2.Methodology, Verdict]:
        """Put a methodology on the register, in the transaction of the caller."""
        message = _clean_methodology(request.methodology)
        require_count(request.documents or [None], "documents", limit=DOCUMENTS_MAX)
        require_count(request.panel.candidates or [None], "panel.candidates", limit=CANDIDATES_MAX)
        pack = group.pack
        version = methodology_version(pack, message)
        if version is None or not pack.units.owns_methodology(version, pack.region):
            pattern = pack.units.methodology_pattern
            if pattern:
                raise DomainError(
                    "FIELD_INVALID", field="methodology.methodology_id", detail=f"wanted: {pattern}"
                )
        first, last = (
            date_or_none(request.consultation.first_day),
            date_or_none(request.consultation.last_day),
        )
        days = self._calendar().count(first, last) if first and last and first < last else 0
        verdict = pack.require(
            acts.PublishMethodology(
                **act_facts(group, by),
                submitted_by=submitted_by,
                methodology=version,  # type: ignore[arg-type]  # given for every message
                parts=frozenset(request.parts),
                documents=document_kinds(request.documents),
                missing_documents=missing_documents,
                panel=panel_of(request.panel) if request.HasField("panel") else None,
                assessment=assessment_of(request.assessment if request.HasField("assessment") else None),
                consultation=consultation_of(request.consultation, days),
            )
        )
        if message.unit_class and message.unit_class not in pack.units.classes:
            raise DomainError(
                "FIELD_INVALID",
                field="methodology.unit_class",
                detail=", ".join(sorted(pack.units.classes)) or "–",
            )
        if store.load_methodology(group.connection, message.methodology_id) is not None:
            raise DomainError(
                "ALREADY_EXISTS",
                field="methodology.methodology_id",
                what="methodology",
                id=message.methodology_id,
            )
        message.publish_date.CopyFrom(wire_date(group.legal_date))
        store.insert_methodology(
            group.connection,
            MethodologyRow(
                message,
                request.SerializeToString(deterministic=True),
                by.party,
                pack.identity.pack_id,
                pack.identity.version,
            ),
        )
        group.journal.append(
            journal.METHODOLOGY_PUBLISHED,
            message.methodology_id,
            applied=journal.Applied.of(verdict),
            details={
                "by": by.party,
                "kind": KINDS[message.kind].value,
                "unit_class": message.unit_class,
                "title": message.title,
            },
        )
        return message, verdict


def _clean_methodology(given: registers_pb2.Methodology) -> registers_pb2.Methodology:
    """Give what a caller may say of a methodology; the day of publication is the node's."""
    return registers_pb2.Methodology(
        methodology_id=require_id(given.methodology_id, "methodology.methodology_id"),
        kind=require_enum(given.kind, "methodology.kind"),  # type: ignore[arg-type]
        unit_class=optional_text(given.unit_class, "methodology.unit_class", length_max=8),
        title=require_text(given.title, "methodology.title"),
        quantification=require_text(given.quantification, "methodology.quantification", length_max=64),
        document=optional_text(given.document, "methodology.document"),
        invented=given.invented,
    )
