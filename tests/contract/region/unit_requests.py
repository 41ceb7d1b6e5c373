"""Good requests about units that stay where they are, and about dated parameters."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import disclosure_pb2, encumbrances_pb2, ledger_pb2, parameters_pb2
from tests.contract.region.harness import SERIES
from tests.contract.region.served import REGION

ENCUMBRANCE: Final = f"{REGION}EncumbranceService/"
DISCLOSURE: Final = f"{REGION}DisclosureService/"
PARAMETER: Final = f"{REGION}ParameterService/"
NOBODYS: Final = "0123456789abcdef0123456789abcdef"


def _encumber(world: Any) -> Any:
    block = values_pb2.UnitBlock(series_id=SERIES.series_id, start_serial=900_000, end_serial=900_001)
    return encumbrances_pb2.EncumberUnitsRequest(
        request_id=secrets.token_hex(8),
        account_id=world.giver,
        creditor_account_id=world.taker,
        units=ledger_pb2.UnitSelection(blocks=[block]),
        document_reference="虚构质押合同 invented",
    )


GOOD: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    ENCUMBRANCE + "EncumberUnits": ("sh.holder", _encumber),
    ENCUMBRANCE + "ReleaseEncumbrance": (
        "sh.holder",
        lambda _: encumbrances_pb2.ReleaseEncumbranceRequest(
            request_id=secrets.token_hex(8), encumbrance_id=NOBODYS, document_reference="虚构"
        ),
    ),
    ENCUMBRANCE + "GetEncumbrance": (
        "sh.holder",
        lambda _: encumbrances_pb2.GetEncumbranceRequest(encumbrance_id=NOBODYS),
    ),
    ENCUMBRANCE + "ListEncumbrances": (
        "sh.centre",
        lambda _: encumbrances_pb2.ListEncumbrancesRequest(page_size=1),
    ),
    DISCLOSURE + "ListDisclosures": (
        "reader/national",
        lambda _: disclosure_pb2.ListDisclosuresRequest(),
    ),
    DISCLOSURE + "ReadDisclosure": (
        "reader/national",
        lambda _: disclosure_pb2.ReadDisclosureRequest(slug="issuances", page_size=1),
    ),
    PARAMETER + "SetParameter": (
        "sh.bureau",
        lambda _: parameters_pb2.SetParameterRequest(
            request_id=secrets.token_hex(8),
            key="sh.surrender_rule[2031]",
            value_json='{"cap_kg": 100}',
            start_date=values_pb2.Date(year=2031, month=1, day=1),
            document_reference="虚构公告 invented",
            second_approver="operator/310000/sh.bureau/second",
        ),
    ),
    PARAMETER + "ListParameters": (
        "reader/national",
        lambda _: parameters_pb2.ListParametersRequest(page_size=1),
    ),
}
