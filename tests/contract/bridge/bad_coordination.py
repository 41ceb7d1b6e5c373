"""Bad steps of CCER projects: each is refused with its reason, and nothing is ordered."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHANGHAI_CENTRE
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.notice_office import ISSUE, REGISTER, WITHDRAW, instalment, project, quantity
from tests.contract.bridge.unchanged import API, World

COORDINATION: Final = f"{API}CoordinationService/"
SUBMIT: Final = f"{COORDINATION}SubmitStep"
CCER: Final = "gateway/ccer"
FARM: Final = "99310000000000899"
YEAR: Final = ("2026-01-01", "2027-01-01")


def step(
    step: int, claim: claims_pb2.Claim, *, signed_by: str = CCER, spoiled: bool = False, **more: Any
) -> Build:
    """Carry a statement that a party has signed."""

    def build(world: World) -> Message:
        statement = coordination_pb2.CoordinationStatement(step=step, claim=claim, **more)  # type: ignore[arg-type]
        envelope = world.network.envelope(statement, signed_by)
        if spoiled:
            envelope.payload += b"\x00"
        return coordination_pb2.SubmitStepRequest(envelope=envelope)

    return build


def lesser(*, beside: str = "", **more: Any) -> Build:
    """Carry an instalment with a SPLIT beside it that a party has signed."""

    def build(world: World) -> Message:
        request = step(
            ISSUE,
            instalment("c", FARM, 5, *YEAR),
            activity=[quantity(*YEAR, 5)],
            metering=[quantity(*YEAR, 5)],
            **more,
        )(world)
        assert isinstance(request, coordination_pb2.SubmitStepRequest)
        if beside:
            verdict = claims_pb2.Verdict(verdict=claims_pb2.VERDICT_KIND_SPLIT, claim_id="c")
            request.split_verdict.CopyFrom(world.network.envelope(verdict, beside, audience=(CCER,)))
        return request

    return build


def _case(name: str, symbol: str, build: Build, party: str = SHANGHAI_CENTRE) -> Case:
    return Case(SUBMIT, name, symbol, build, party)


BAD_COORDINATION: Final = (
    _case("no envelope", "FIELD_MISSING", plain(coordination_pb2.SubmitStepRequest())),
    _case("by a region", "CALLER_NOT_PERMITTED", step(REGISTER, project("c", FARM)), SHANGHAI),
    _case(
        "signed by a region",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        step(REGISTER, project("c", FARM), signed_by=SHANGHAI),
    ),
    _case("changed", "SIGNATURE_INVALID", step(REGISTER, project("c", FARM), spoiled=True)),
    _case("no step", "FIELD_MISSING", step(0, project("c", FARM))),
    _case("no claim", "FIELD_MISSING", step(REGISTER, claims_pb2.Claim())),
    _case(
        "another programme",
        "FIELD_INVALID",
        step(REGISTER, project("c", FARM, programme=claims_pb2.PROGRAMME_VCS)),
    ),
    _case("a claim of a region", "FIELD_INVALID", step(REGISTER, project("c", FARM, region=SHANGHAI))),
    _case("an instalment registered", "FIELD_INVALID", step(REGISTER, instalment("c", FARM, 1, *YEAR))),
    _case("no project", "FIELD_MISSING", step(REGISTER, project("c", FARM, project_id=""))),
    _case("no meter", "METERING_MISSING", step(ISSUE, instalment("c", FARM, 5, *YEAR))),
    _case(
        "periods that do not add up",
        "FIELD_INVALID",
        step(
            ISSUE,
            instalment("c", FARM, 5, *YEAR),
            activity=[quantity(*YEAR, 4)],
            metering=[quantity(*YEAR, 5)],
        ),
    ),
    _case(
        "a project that nobody registered",
        "CLAIM_STATE_WRONG",
        step(
            ISSUE,
            instalment("c", FARM, 5, *YEAR),
            activity=[quantity(*YEAR, 5)],
            metering=[quantity(*YEAR, 5)],
        ),
    ),
    _case("a SPLIT by its hash alone", "FIELD_MISSING", lesser(split_verdict_hash=bytes(32))),
    _case("a SPLIT that the statement does not name", "FIELD_MISSING", lesser(beside=BRIDGE)),
    _case(
        "a SPLIT of CCER's own making",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        lesser(beside=CCER, split_verdict_hash=bytes(32)),
    ),
    _case(
        "another SPLIT than is named", "FIELD_INVALID", lesser(beside=BRIDGE, split_verdict_hash=bytes(32))
    ),
    _case("withdrawal of nothing", "CLAIM_UNKNOWN", step(WITHDRAW, claims_pb2.Claim(claim_id="c"))),
    Case(
        f"{COORDINATION}ListOrders",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        plain(coordination_pb2.ListOrdersRequest(page_token="AAAA")),
    ),
)
