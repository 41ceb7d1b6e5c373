from __future__ import annotations

from tanqiao.api.bridge.v1 import claims_pb2, tokens_pb2, tokens_pb2_grpc
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.tokens.federation import Federation, refusal
from tests.contract.tokens.invented import ACCOUNT, VIN, claim_of

BLOCK = claims_pb2.VERDICT_KIND_BLOCK


def status(federation: Federation, party: str = SHANGHAI) -> dict[int, int]:
    stub = tokens_pb2_grpc.TokenServiceStub(federation.running.channel(party))
    answer = stub.GetTokenStatus(tokens_pb2.GetTokenStatusRequest(), timeout=WAIT_SECONDS)
    return {one.key_epoch: one.resting_claims for one in answer.epochs}


def test_a_key_is_rotated_while_claims_stand(federation: Federation) -> None:
    """A check asks under every epoch with live claims; a node renews; an epoch ends when none is left."""
    office = federation.start_shanghai()
    asset = claims_pb2.Asset(
        references=[claims_pb2.AssetReference(scheme="power_account", value=ACCOUNT)],
        kind="solar",
        capacity_kw=800,
    )
    office.submit(asset=asset)
    elsewhere = claim_of(
        "440300:instalment:e9",
        ("power_account", ACCOUNT),
        region=SHENZHEN,
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
    )
    assert status(federation) == {1: 1}
    assert federation.begin_epoch() == 2
    assert status(federation) == {1: 1, 2: 0}
    stale = federation.leaving(elsewhere)
    assert [one.key_epoch for one in stale.asset.pseudonyms] == [1, 2]
    assert federation.check(elsewhere).verdict == BLOCK  # found under the old key

    refused = refusal(lambda: federation.end_epoch(1))
    assert (refused.symbol, refused.metadata["count"]) == ("KEY_IN_USE", "1")
    assert refusal(lambda: federation.revoke_epoch(1)).symbol == "KEY_IN_USE"

    federation.wait(lambda: len(office.node.context.tokens.epochs()) == 2)  # the record has come as a notice
    assert office.node.region.renewal.run() == 1
    assert office.node.region.renewal.run() == 0
    assert status(federation) == {1: 0, 2: 1}
    federation.end_epoch(1)
    assert status(federation) == {2: 1}  # with the record of its end, whatever index it names
    federation.wait(lambda: len(office.node.context.tokens.epochs()) == 1)
    assert refusal(lambda: federation.line(SHANGHAI).evaluate(1, [bytes(32)])).symbol == "ELEMENT_INVALID"

    renewed = federation.check(elsewhere)  # found under the new key alone
    assert renewed.verdict == BLOCK
    assert [one.claim_id for one in renewed.colliding_claims] == ["310000:project:PV-INVENTED-1"]
    late = refusal(lambda: federation.declare_as_it_stands(stale))
    assert (late.symbol, late.metadata["epoch"]) == ("TOKEN_EPOCH_CLOSED", "1")


def test_a_claim_that_lacks_an_epoch_is_refused_and_tokens_are_renewed_once(federation: Federation) -> None:
    claim = claim_of("310000:instalment:v1", ("vin", VIN))
    under_first = federation.leaving(claim)
    federation.declare_as_it_stands(under_first)
    federation.begin_epoch()
    again = claim_of("310000:instalment:v2", ("vin", VIN))
    again.asset.CopyFrom(under_first.asset)
    lacking = refusal(lambda: federation.declare_as_it_stands(again))
    assert (lacking.symbol, lacking.metadata["epochs"]) == ("TOKENS_MISSING", "2")
    checked = refusal(lambda: federation.check_as_it_stands(again))
    assert checked.symbol == "TOKENS_MISSING"

    line = federation.line(SHANGHAI)
    claims, _ = line.stale_claims("")
    assert [one.claim_id for one in claims] == ["310000:instalment:v1"]
    book = federation.books[SHANGHAI]
    tokens = tokens_pb2.RenewedTokens(
        claim_id="310000:instalment:v1", pseudonyms=book.renewed(claim, book.epochs()[-1])
    )
    line.renew([tokens])
    line.renew([tokens])
    assert line.stale_claims("")[0] == []
    other = tokens_pb2.RenewedTokens(
        claim_id="310000:instalment:v1",
        pseudonyms=[claims_pb2.Pseudonym(scheme="vin", key_epoch=2, tokens=[b"\x07" * 32])],
    )
    assert refusal(lambda: line.renew([other])).symbol == "REQUEST_ID_REUSED"
    assert refusal(lambda: federation.line(SHENZHEN).renew([tokens])).symbol == "REGION_SCOPE_MISMATCH"
