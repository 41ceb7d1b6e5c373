"""No identifier, and no unkeyed hash of one, leaves a region (CLAIMS section 6): the wire and the bridge's
database are searched, and so is what the bridge logs. That the search finds is shown by planting.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.db.engine import Database
from tanqiao.rpc import channel as rpc_channel
from tanqiao.testing.network import SHENZHEN
from tanqiao_bridge.storage.schema import SCHEMA
from tests.contract.tokens import inspection
from tests.contract.tokens.federation import Federation, refusal
from tests.contract.tokens.invented import ACCOUNT, PHONE, RESIDENT, VIN, claim_of

WRITTEN = [
    ("resident_id", RESIDENT),
    ("phone", f"+86 {PHONE[:3]}-{PHONE[3:7]}-{PHONE[7:]}"),
    ("power_account", ACCOUNT),
    ("vin", VIN.lower()),
]


class Wire(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Keeps the bytes of every message that goes out, before they are sealed by TLS."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self._keep(details, request)
        return continuation(details, request)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Iterator[Any]) -> Any:
        def kept() -> Iterator[Any]:
            for request in requests:
                self._keep(details, request)
                yield request

        return continuation(details, kept())

    def _keep(self, details: Any, request: Any) -> None:
        self.sent.append(details.method.encode() + request.SerializeToString())
        self.sent.extend(f"{name}={value}".encode() for name, value in details.metadata or ())


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Every channel that is opened from now on goes through it."""
    kept = Wire()
    real: Callable[..., grpc.Channel] = rpc_channel.open_channel

    def open_channel(*arguments: Any, **options: Any) -> grpc.Channel:
        return grpc.intercept_channel(real(*arguments, **options), kept)

    for module in ("tests.contract.bridge.harness", "tanqiao_region.bootstrap"):
        monkeypatch.setattr(f"{module}.open_channel", open_channel)
    return kept


def rows_of(database: Database) -> list[bytes]:
    """Give every value of every table as bytes."""
    found: list[bytes] = []
    with database.reading() as connection:
        for table in SCHEMA.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                found.extend(
                    bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    for value in row
                )
    return found


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What this process logs while the test runs."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    logging.getLogger().addHandler(handler)
    yield kept
    logging.getLogger().removeHandler(handler)


def test_no_identifier_and_no_hash_of_one_leaves_a_region(
    wire: Wire, federation: Federation, logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    office = federation.start_shanghai()
    references = [claims_pb2.AssetReference(scheme=scheme, value=value) for scheme, value in WRITTEN]
    asset = claims_pb2.Asset(references=references, kind="solar", name=f"{RESIDENT} 的屋顶", capacity_kw=800)
    office.submit(asset=asset)
    federation.declare(claim_of("310000:instalment:a", *WRITTEN))
    federation.declare(claim_of("440300:instalment:a", *WRITTEN, region=SHENZHEN))
    federation.begin_epoch()
    federation.wait(lambda: len(office.node.context.tokens.epochs()) == 2)
    office.node.region.renewal.run()
    federation.check(claim_of("440300:instalment:b", *WRITTEN, region=SHENZHEN))
    # A refusal speaks of the field and not of its value, on its way to the caller and into the log.
    wrong = claim_of("310000:instalment:c", ("vin", VIN[:-1] + "7"), ("resident_id", RESIDENT))
    refused = refusal(lambda: federation.declare(wrong))
    assert refused.symbol == "IDENTITY_CODE_INVALID"

    needles = inspection.needles_of(WRITTEN)
    database = rows_of(federation.running.bridge.database)
    printed = "".join(capfd.readouterr()) + logged.getvalue() + str(refused) + repr(refused)
    assert any(b"EvaluateElements" in one for one in wire.sent)
    assert any(b"DeclareClaim" in one for one in wire.sent)
    assert inspection.found_in(wire.sent, needles) == set()
    assert inspection.found_in(database, needles) == set()
    assert inspection.found_in([printed.encode()], needles) == set()
    # The tokens are there, so that it was the right database that was searched.
    token = federation.leaving(claim_of("310000:instalment:a", *WRITTEN)).asset.pseudonyms[0].tokens[0]
    assert inspection.found_in(database, {token: "token"}) == {"token"}


def test_the_inspection_finds_what_is_planted(wire: Wire, federation: Federation) -> None:
    """The control: identifiers and their hashes that a careless region would send are found on both sides."""
    planted = claim_of("310000:instalment:a", ("gec_filing_code", "99310000000000701"))
    planted.asset.name = f"车主 {VIN}"
    planted.project_id = hashlib.sha256(RESIDENT.encode()).hexdigest()
    planted.methodology_id = hashlib.md5(PHONE.encode(), usedforsecurity=False).hexdigest()
    planted.activity_unit = ACCOUNT.partition(":")[2]
    federation.declare_as_it_stands(planted)
    needles = inspection.needles_of(WRITTEN)
    expected = {"vin as written", "vin, its end", "resident_id hashed", "phone hashed"}
    assert inspection.found_in(wire.sent, needles) >= expected
    assert inspection.found_in(rows_of(federation.running.bridge.database), needles) >= expected
    assert any("power_account" in what for what in inspection.found_in(wire.sent, needles))


def test_the_bridge_takes_no_identifier_as_a_reference(federation: Federation) -> None:
    for scheme, value in WRITTEN:
        claims = (
            claim_of("310000:instalment:a", (scheme, value)),
            claim_of("310000:instalment:a", (scheme.upper(), value)),
        )
        for refused in (
            refusal(lambda claim=claims[0]: federation.declare_as_it_stands(claim)),  # type: ignore[misc]
            refusal(lambda claim=claims[1]: federation.check_as_it_stands(claim)),  # type: ignore[misc]
        ):
            assert refused.symbol == "PERSONAL_IDENTIFIER_SENT"
            assert value not in str(refused.metadata)
    needles = inspection.needles_of(WRITTEN)
    assert inspection.found_in(rows_of(federation.running.bridge.database), needles) == set()
