"""The real public lists: imported into gateways, asked through a bridge, and screened against one another.

TANQIAO_DATA names the folder of the data, by default ``../shared/data``; without it these tests are skipped.
Sources and licences: docs/real-lists.md.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.provision import provision_network
from tanqiao.testing.network import SHANGHAI_CENTRE, SHENZHEN, NetworkOfTest, standard_plan
from tanqiao_gateway.bootstrap import Gateway, build
from tanqiao_gateway.settings import Settings
from tests.contract.bridge.harness import START, claim_of, run_bridge
from tests.e2e.conftest import CommandLine

DATA: Final = Path(os.environ.get("TANQIAO_DATA") or "../shared/data").absolute()
MAPPINGS: Final = Path(__file__).parents[2] / "shared/tanqiao/matching/mappings"
WAIT_SECONDS: Final = 300.0
LISTS: Final = (
    ("ccer", "ccer_records.json", "ccer_public_records"),
    ("cdm", "cdm_projects.csv", "cdm"),
    ("vcs", "verra_projects_cn_2023-11.csv", "vcs"),
    ("gec", "gem_hydro_cn.csv", "gem_hydro"),
    ("gec", "gem_bio_cn.csv", "gem_bio"),
    ("gec", "plants_cn.csv", "plants_gec"),
)
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not DATA.is_dir(), reason="the real lists are not at hand"),
]


def rows_of(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    plan = replace(standard_plan(), gateways=("ccer", "gec", "cdm", "vcs"))
    network = provision_network(tmp_path_factory.mktemp("network"), plan, now=datetime.now(UTC))
    return NetworkOfTest(network, network.federation.directory())


@pytest.fixture(scope="module")
def gateways(net: NetworkOfTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gateway]]:
    """A gateway for each registry of which there is a list."""
    folder = tmp_path_factory.mktemp("databases")
    running = {}
    for registry in dict.fromkeys(name for name, _, _ in LISTS):
        node = net.network.node(f"gateway/{registry}")
        running[registry] = build(
            Settings(
                network_id=net.network_id,
                registry=registry,
                listen="127.0.0.1:0",
                database_url=f"sqlite:///{folder / registry}.sqlite",
                tls_directory=node / "tls",
                keys_directory=node / "keys",
                federation_file=node / "federation.json",
                test_clock_start=datetime.fromisoformat(START).astimezone(UTC),
            )
        )
        running[registry].start()
    yield running
    for gateway in running.values():
        gateway.stop()


@pytest.fixture(scope="module")
def imported(net: NetworkOfTest, gateways: dict[str, Gateway]) -> dict[str, registry_pb2.ImportListResponse]:
    """Every list, by file, as it was answered."""
    return {
        file: _import(net, gateways[registry], file, mapping, day)
        for day, (registry, file, mapping) in enumerate(LISTS, start=1)
    }


def _import(
    net: NetworkOfTest, gateway: Gateway, file: str, mapping: str, day: int
) -> registry_pb2.ImportListResponse:
    kind = registry_pb2.LIST_FORMAT_JSON if file.endswith(".json") else registry_pb2.LIST_FORMAT_CSV
    start = registry_pb2.ImportListRequest.Start(
        request_id=f"real-{day}",
        format=kind,
        source="public lists, see docs/real-lists.md",
        as_of_date=date_message(date(2026, 2, day)),
        file_name=file,
        mapping=mapping,
    )
    data = (DATA / file).read_bytes()

    def parts() -> Iterator[registry_pb2.ImportListRequest]:
        yield registry_pb2.ImportListRequest(start=start)
        for at in range(0, len(data), 200_000):
            yield registry_pb2.ImportListRequest(chunk=data[at : at + 200_000])

    with open_channel(gateway.server.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
        response: registry_pb2.ImportListResponse = registry_pb2_grpc.RegistryServiceStub(channel).ImportList(
            parts(), timeout=WAIT_SECONDS
        )
    return response


def test_every_real_list_is_taken_whole(
    imported: dict[str, registry_pb2.ImportListResponse],
) -> None:
    found = {
        file: (one.committed, one.list_import.row_count, one.list_import.rejected_count)
        for file, one in imported.items()
    }
    assert found == {
        "ccer_records.json": (True, 9, 0),
        "cdm_projects.csv": (True, 3_305, 0),
        "verra_projects_cn_2023-11.csv": (True, 1_110, 0),
        "gem_hydro_cn.csv": (True, 915, 0),
        "gem_bio_cn.csv": (True, 1_329, 0),
        "plants_cn.csv": (True, 3_137, 0),
    }


def test_what_was_applied_for_elsewhere_bars_a_regional_project(
    net: NetworkOfTest,
    gateways: dict[str, Gateway],
    imported: dict[str, registry_pb2.ImportListResponse],
    tmp_path: Path,
) -> None:
    assert imported["cdm_projects.csv"].committed
    url = f"sqlite:///{tmp_path / 'bridge.sqlite'}"
    addresses = {name: gateway.server.address for name, gateway in gateways.items()}
    running = run_bridge(net, url, url, gateways=addresses)
    cdm, vcs = rows_of("cdm_projects.csv"), rows_of("verra_projects_cn_2023-11.csv")
    power = ("Wind", "Hydro", "Solar", "Biomass")
    barred = {row["cdm_ref"]: "cdm" for row in cdm[:400] if row["type"] in power} | {
        row["project_id"]: "vcs"
        for row in vcs
        if (row["status"], row["methodology"]) == ("Registered", "ACM0002")
    }
    other = [_claim("vcs", row["project_id"]) for row in vcs if row["methodology"] == "AR-ACM0003"]
    assert len(barred) > 500
    assert len(other) > 50
    claims = [_claim(scheme, value) for value, scheme in barred.items()]
    # What nobody has listed, and what is listed for another attribute: a forest does not sell power.
    free = [_claim("cdm", "99999"), _claim("gec_filing_code", "99310000000000701"), *other]
    # Nobody knows what a project sells whose list does not tell.
    untold = [_claim("cdm", row["cdm_ref"]) for row in cdm if row["type"] in ("", "Other")]
    assert len(untold) == 201
    asked = [*claims, *untold, *free]
    try:
        with running.channel(SHENZHEN) as channel:
            verdicts = (
                claims_pb2_grpc.ClaimServiceStub(channel)
                .BatchCheckClaims(claims_pb2.BatchCheckClaimsRequest(claims=asked), timeout=WAIT_SECONDS)
                .verdicts
            )
    finally:
        running.bridge.stop()
    kinds = [one.verdict for one in verdicts]
    assert set(kinds[: len(claims)]) == {claims_pb2.VERDICT_KIND_BLOCK}
    assert set(kinds[len(claims) : -len(free)]) == {claims_pb2.VERDICT_KIND_HOLD}
    assert set(kinds[-len(free) :]) == {claims_pb2.VERDICT_KIND_ALLOW}
    assert {one.registry: one.as_of_date.day for one in verdicts[0].registries} == {
        "ccer": 1,
        "cdm": 2,
        "gec": 6,
        "vcs": 3,
    }


def _claim(scheme: str, value: str) -> claims_pb2.Claim:
    claim = claim_of(f"440300:{scheme}:{value}", region=SHENZHEN, kind=claims_pb2.CLAIM_OBJECT_PROJECT)
    del claim.asset.references[:]
    claim.asset.references.add(scheme=scheme, value=value)
    return claim


@pytest.mark.parametrize(
    ("left", "mapping", "least"),
    [
        ("plants_cn.csv", "plants_cdm", 800),
        ("gem_hydro_cn.csv", "gem_hydro_cdm", 20),
        ("verra_projects_cn_2023-11.csv", "vcs_cdm", 20),
    ],
)
def test_lists_are_screened_against_the_cdm(tmp_path: Path, left: str, mapping: str, least: int) -> None:
    out = tmp_path / "pairs.csv"
    line = CommandLine(tmp_path / "home", tmp_path)
    rows = rows_of(left)
    if mapping == "gem_hydro_cdm":  # three stations share an id with another part
        for row in rows:
            row["gem_unit_id"] += f" {row['name_zh']}"
    with (tmp_path / left).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    arguments: list[Any] = ["--left", tmp_path / left, "--right", DATA / "cdm_projects.csv"]
    arguments += ["--mapping", MAPPINGS / f"{mapping}.toml", "--out", out]
    answer = line("claims", "screen", *map(str, arguments), seconds_max=900)
    assert answer.code == 0, answer.err
    with out.open(encoding="utf-8", newline="") as file:
        pairs = [(row["left_id"], row["right_id"]) for row in csv.DictReader(file)]
    assert len(pairs) >= least
    if mapping == "plants_cdm":
        known = {(row["plant_id"], row["cdm_ref"]) for row in rows_of("pairs_known.csv")}
        assert len(known & set(pairs)) / len(known) >= 0.97
