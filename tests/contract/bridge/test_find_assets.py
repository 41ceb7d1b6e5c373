"""Assets by what people know of them: of claims and of outside lists, on both databases (虚构)."""

from __future__ import annotations

from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2
from tanqiao.testing.network import SHANGHAI
from tests.contract.bridge.case_office import square
from tests.contract.bridge.claims_office import FREE, OWNER, Office, call, in_shenzhen, lists, office
from tests.contract.bridge.conflict_office import NATIONAL, signed_by_bridge, stub_of
from tests.contract.bridge.harness import WAIT_SECONDS, Running, claim_of

__all__ = ["lists", "office"]

USCC: Final = "91110000600037341L"


def find(running: Running, party: str = NATIONAL, **wanted: Any) -> list[conflicts_pb2.FoundAsset]:
    """Walk all pages of one asset each; every answer as it was signed."""
    request = conflicts_pb2.FindAssetsRequest(page_size=1, **wanted)
    found: list[conflicts_pb2.FoundAsset] = []
    while True:
        response = call(lambda: stub_of(running, party).FindAssets(request, timeout=WAIT_SECONDS))
        signed_by_bridge(running, response.envelope, response.list, party)
        assert {one.registry: one.answered for one in response.list.lists} == {"ccer": True, "gec": True}
        found.extend(response.list.assets)
        request.page_token = response.list.next_page_token
        if not request.page_token:
            return found


def named(claim: claims_pb2.Claim, name: str, **changes: Any) -> claims_pb2.Claim:
    claim.asset.name = name
    claim.MergeFrom(claims_pb2.Claim(**changes))
    return claim


def test_assets_are_found_by_name_pinyin_owner_place_polygon_and_capacity(office: Office) -> None:
    running = office.running
    wind = named(claim_of("310000:wind:1", filing_code=FREE), "虚构海上风电场一期", subject_uscc=USCC)
    wind.subject_name, wind.asset.capacity_kw = "虚构能源有限公司", 200_000
    wind.asset.geometry = square(121.0, 31.0)
    office.declared(wind)
    again = named(claim_of("310000:wind:2", filing_code=FREE, start="2026-02-01", end="2026-03-01"), "")
    again.asset.CopyFrom(wind.asset)
    office.declared(again)
    sun = named(in_shenzhen("440300:sun:1", filing_code="99310000000000777"), "虚构光伏电站")
    sun.asset.capacity_kw = 5_000
    office.declared(sun)
    first, second = ["310000:wind:1"], ["440300:sun:1"]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"name": "海上风电"}, first),
        ({"name": "haishang fengdian"}, first),
        ({"name": "FENGDIANCHANG"}, first),
        ({"name": "光伏"}, second),
        ({"owner": USCC}, first),
        ({"owner": "能源"}, first),
        ({"place_code": "4403", "name": "虚构光"}, second),
        ({"geometry": square(121.005, 31.005)}, first),
        ({"geometry": square(121.02, 31.02)}, []),
        ({"capacity_kw_min": 100_000}, first),
        ({"capacity_kw_max": 10_000}, second),
        ({"name": "no such plant"}, []),
    ]
    for wanted, expected in cases:
        found = [one.claim_id for one in find(running, **wanted) if not one.registry]
        assert found == expected, wanted
    (shown,) = find(running, geometry=square(121.005, 31.005))
    assert (shown.owner_uscc, shown.capacity_kw, shown.place_code) == (USCC, 200_000, "310000")
    assert [one.value for one in shown.references] == [FREE]
    # Rows of lists are found by the same words, and say whose they are: lists are public.
    of_lists: list[tuple[dict[str, Any], set[str]]] = [
        ({"name": "光伏项目"}, {"ccer:CCER-77", "ccer:CCER-78"}),
        ({"name": "guangfu xiangmu"}, {"ccer:CCER-77", "ccer:CCER-78"}),
        ({"name": "电站", "owner": "虚构公司"}, {"gec:GEC-SOLD", "gec:GEC-UNSOLD", "gec:GEC-OWNED"}),
        ({"name": "电站", "owner": OWNER}, {"gec:GEC-OWNED"}),
        ({"name": "电站", "capacity_kw_min": 1}, set()),
    ]
    for asked, records in of_lists:
        rows = [one for one in find(running, **asked) if one.registry]
        assert {one.claim_id for one in rows} == records, asked
        assert all(one.owner_name == "虚构公司" for one in rows)
    # A region finds the plant of another one, and not whose it is.
    (other,) = [one for one in find(running, SHANGHAI, name="guangfu") if not one.registry]
    assert (other.claim_id, other.owner_name, other.owner_uscc) == (second[0], "", "")
