from __future__ import annotations

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.rpc.validation import wire_period
from tanqiao.testing.network import SHENZHEN
from tests.contract.region_registers.office import CREDITING, PROJECT
from tests.contract.tokens.federation import Federation
from tests.contract.tokens.invented import ACCOUNT, OTHER_VIN, VIN, claim_of

DECLARED, REJECTED = claims_pb2.CLAIM_STATUS_DECLARED, claims_pb2.CLAIM_STATUS_REJECTED
BLOCK, HOLD = claims_pb2.VERDICT_KIND_BLOCK, claims_pb2.VERDICT_KIND_HOLD
ALLOW = claims_pb2.VERDICT_KIND_ALLOW


def test_one_vehicle_is_found_across_regions_whatever_it_is_written_like(federation: Federation) -> None:
    first = federation.declare(claim_of("310000:instalment:v1", ("vin", VIN)))
    assert first.status == DECLARED
    second = federation.declare(
        claim_of("440300:instalment:v1", ("vin", f" {VIN.lower()[:8]}-{VIN.lower()[8:]} "), region=SHENZHEN)
    )
    assert second.status == REJECTED
    assert second.verdict.verdict == BLOCK
    assert [one.claim_id for one in second.verdict.colliding_claims] == ["310000:instalment:v1"]
    assert second.verdict.refusal.reason == "CLAIM_OVERLAP"
    others = (
        claim_of("440300:instalment:v2", ("vin", OTHER_VIN), region=SHENZHEN),
        claim_of("440300:instalment:v3", ("vin", VIN), region=SHENZHEN, period=("2026-02-01", "2026-03-01")),
        # Another family has other tokens: who drives may also save electricity.
        claim_of(
            "440300:instalment:v4",
            ("vin", VIN),
            region=SHENZHEN,
            attribute=claims_pb2.ATTRIBUTE_ELEC_SAVING,
        ),
    )
    assert [federation.declare(one).status for one in others] == [DECLARED] * 3
    # What is generated and what is saved at one account is one thing (SH-14).
    saving = claim_of(
        "310000:instalment:e1", ("power_account", ACCOUNT), attribute=claims_pb2.ATTRIBUTE_ELEC_SAVING
    )
    assert federation.declare(saving).status == DECLARED
    generating = claim_of(
        "310000:instalment:e2", ("power_account", ACCOUNT), attribute=claims_pb2.ATTRIBUTE_RE_GEN
    )
    assert federation.declare(generating).verdict.verdict == BLOCK


def test_a_bucket_that_not_both_cover_is_for_a_person_to_see(federation: Federation) -> None:
    """CLAIMS section 6: a shared bucket is a collision if both cover it whole, else HOLD."""
    federation.declare(claim_of("310000:instalment:p1", ("vin", VIN), period=("2026-01-15", "2026-03-01")))
    cases = {
        ("2026-01-01", "2026-02-01"): HOLD,  # January is shared in part
        ("2026-01-01", "2026-01-10"): HOLD,  # the days differ, the bucket is shared
        ("2026-02-01", "2026-03-01"): BLOCK,  # February is whole on both sides
        ("2026-03-01", "2026-04-01"): ALLOW,
    }
    verdicts = {}
    for place, period in enumerate(cases):
        claim = claim_of(f"440300:instalment:p{place}", ("vin", VIN), region=SHENZHEN, period=period)
        verdicts[period] = federation.check(claim)
    assert {period: verdict.verdict for period, verdict in verdicts.items()} == cases
    assert "bridge policy" in verdicts["2026-01-01", "2026-02-01"].article
    own = claim_of(
        "310000:instalment:p9",
        ("vin", VIN),
        period=("2026-01-01", "2026-01-15"),
        project_id="310000:instalment:p1",
    )
    assert federation.check(own).verdict == ALLOW  # instalments of one project know each other's days


def test_a_nodes_own_project_leaves_with_tokens_and_collides_elsewhere(federation: Federation) -> None:
    office = federation.start_shanghai()
    asset = claims_pb2.Asset(
        references=[
            claims_pb2.AssetReference(scheme="power_account", value=ACCOUNT),
            claims_pb2.AssetReference(scheme="owner", value="虚构业主 invented"),
        ],
        kind="solar",
        name="虚构屋顶光伏 invented rooftop",
        region_code="310115",
        capacity_kw=800,
    )
    checked = office.submit(asset=asset, validate_only=True)
    assert checked.verdict.verdict == ALLOW
    submitted = office.submit(asset=asset)
    assert submitted.project.claim_id == f"310000:project:{PROJECT}"
    stored = federation.running.bridge.database
    with stored.reading() as connection:
        row = connection.exec_driver_sql("SELECT content FROM claim").one()
    claim = claims_pb2.Claim.FromString(bytes(row[0]))
    assert (claim.asset.name, list(claim.asset.references)) == ("", [])
    assert [len(one.tokens) for one in claim.asset.pseudonyms] == [len(CREDITING.months())]
    elsewhere = claim_of(
        "440300:instalment:e9",
        ("power_account", ACCOUNT),
        region=SHENZHEN,
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
    )
    elsewhere.period.CopyFrom(wire_period(CREDITING))
    verdict = federation.check(elsewhere)
    assert verdict.verdict == BLOCK
    assert [one.claim_id for one in verdict.colliding_claims] == [submitted.project.claim_id]
