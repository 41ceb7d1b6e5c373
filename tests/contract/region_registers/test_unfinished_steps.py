"""A step that the bridge has accepted and the node cannot finish ends, and bars its subject no more."""

from __future__ import annotations

from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.claim_steps import StepKind
from tanqiao_region.storage.registers import open_steps
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office


class Unfinished:
    """The real first half of a command, and a second half that refuses."""

    def __init__(self, handler: Any, refusal: DomainError) -> None:
        self._handler = handler
        self._refusal = refusal
        self.begin = handler.begin
        self.abandon = handler.abandon

    def finish(self, group: Any, step: Any, receipt: Any) -> Any:
        """Write half of it, then refuse."""
        self._handler.finish(group, step, receipt)
        raise self._refusal


def put(office: Office, refusal: DomainError) -> Any:
    handlers = office.office.steps._handlers
    real = handlers[int(StepKind.SUBMIT_PROJECT)]
    handlers[int(StepKind.SUBMIT_PROJECT)] = Unfinished(real, refusal)
    return real


def open_kinds(office: Office) -> list[int]:
    with office.node.region.database.reading() as connection:
        return [step.kind for step in open_steps(connection)]


def test_a_final_refusal_ends_the_step_undoes_what_was_written_and_lets_the_claim_go(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.publish_methodology()
    real = put(shanghai, DomainError("PARTICIPANT_TYPE_NOT_ALLOWED"))
    for _ in range(2):  # the first answer, and the kept one
        with pytest.raises(DomainError) as refusal:
            shanghai.submit(request_id="unfinished-1")
        assert refusal.value.symbol == "PARTICIPANT_TYPE_NOT_ALLOWED"
    with pytest.raises(DomainError) as refusal:
        shanghai.project()
    assert refusal.value.symbol == "NOT_FOUND"
    assert open_kinds(shanghai) == [int(StepKind.RELEASE_CLAIM)]
    assert shanghai.office.steps.resume() == 1
    assert list(bridge.claims.status.values()) == [claims_pb2.CLAIM_STATUS_WITHDRAWN]
    shanghai.office.steps._handlers[int(StepKind.SUBMIT_PROJECT)] = real
    # The bridge never takes a claim's id twice: the same project comes back under a claim of its own.
    again = shanghai.submit(request_id="unfinished-2")
    assert again.project.state == registers_pb2.PROJECT_STATE_SUBMITTED
    (spent,) = (claim_id for claim_id in bridge.claims.status if claim_id != again.project.claim_id)
    assert again.project.claim_id == f"{spent}:2"


def test_a_refusal_that_may_pass_leaves_the_step_for_the_next_round(shanghai: Office) -> None:
    shanghai.publish_methodology()
    real = put(shanghai, DomainError("BUSY", detail="test"))
    with pytest.raises(DomainError) as refusal:
        shanghai.submit(request_id="unfinished-3")
    assert refusal.value.symbol == "BUSY"
    assert open_kinds(shanghai) == [int(StepKind.SUBMIT_PROJECT)]
    shanghai.office.steps._handlers[int(StepKind.SUBMIT_PROJECT)] = real
    assert shanghai.office.steps.resume() == 1
    assert shanghai.submit(request_id="unfinished-3").project.state == registers_pb2.PROJECT_STATE_SUBMITTED
