"""`tanqiao cases`: what two bodies sign, in words; `tanqiao claims find --out`: the table in three forms."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tanqiao.api.bridge.v1 import cases_pb2
from tanqiao.cli.claims_find import COLUMNS, WHOLE_NUMBERS, write_table
from tanqiao.cli.order_files import read_order
from tanqiao.cli.tables import Row
from tanqiao.signing.approvals import open_decision
from tanqiao.signing.federation import Federation
from tests.unit.cli.test_orders import approver, network, run

__all__ = ["network", "run"]

WHY = ("--authority", "bridge", "--reason", "虚构 invented", "--document", "minutes 7")
CASE = ("cases", "resolve", "7", "case.json", "--as", "block", "--claim", "310000:project:1", *WHY)
ALIAS = ("cases", "alias", "alias.json", "--ref", "cdm=1234", "--ref", "vcs=99", "--as", "same", *WHY)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (CASE, ("不准 block", "310000:project:1", "0 / 2")),
        (ALIAS, ("同一资产 one asset", "cdm=1234", "vcs=99")),
    ],
)
def test_approvers_of_two_bodies_sign_what_is_shown_in_words(
    network: Any, run: Any, tmp_path: Path, prepare: tuple[str, ...], said: tuple[str, ...]
) -> None:
    prepared = run(*prepare)
    assert prepared.exit_code == 0, prepared.output
    assert all(words in prepared.output for words in said)
    file = next(argument for argument in prepare if argument.endswith(".json"))
    for code in ("bridge", "310000"):
        signed = run("approve", file, "--key", approver(network, code, 1), "--yes")
        assert signed.exit_code == 0, signed.output
    again = run("approve", file, "--key", approver(network, "310000", 1), "--yes")
    assert again.exit_code != 0
    envelope, order = read_order(tmp_path / file)
    directory = Federation.load(network.node("bridge") / "federation.json").directory()
    opened, bodies = open_decision(envelope, network.plan.network_id, directory, at_index=1_000)
    assert bodies == ("authority/310000", "authority/bridge")
    assert opened.message == order
    if isinstance(order, cases_pb2.CaseResolution):
        assert (order.case_id, list(order.claim_ids)) == (7, ["310000:project:1"])


def test_an_alias_names_exactly_two_references(run: Any) -> None:
    refused = run(*ALIAS[:5], *ALIAS[7:])
    assert refused.exit_code != 0
    assert "exactly two references" in refused.output


def test_what_was_found_is_written_as_csv_json_and_parquet(tmp_path: Path) -> None:
    row: Row = {name: 7 if name in WHOLE_NUMBERS else f"{name} 虚构" for name in COLUMNS}
    for suffix in (".csv", ".json", ".parquet"):
        for rows in ([row, row], []):
            write_table(tmp_path / f"claims{suffix}", rows)
            found = _read(tmp_path / f"claims{suffix}")
            assert [{name: str(one[name]) for name in COLUMNS} for one in found] == [
                {name: str(value) for name, value in one.items()} for one in rows
            ]


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".json":
        return list(json.loads(path.read_text(encoding="utf-8")))
    table = pq.read_table(path)
    assert table.schema.names == list(COLUMNS)
    return list(table.to_pylist())
