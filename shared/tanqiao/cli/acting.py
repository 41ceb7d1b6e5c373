"""Which certificate a command uses unless `--as` names another role or party; as data.

An operator acts for a body; what its role may do the region's rule pack decides alone (RULES section 7.1).
For an account acts the party that the account names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tanqiao.api.region.v1 import accounts_pb2
from tanqiao.cli.local.members import SHANGHAI, SHENZHEN, YUNNAN, RegionMember
from tanqiao.cli.session import Session, require_region
from tanqiao.client import RegionClient
from tanqiao.kernel.errors import DomainError

_EPD: Final = "yn.epd"
ROLES: Final[dict[str, tuple[str, str, str]]] = {
    # act: Shanghai, Shenzhen, Yunnan
    "accounts": ("sh.centre", "sz.platform_operator", _EPD),
    "address": ("sh.centre", "sz.platform_operator", _EPD),
    "methodology": ("sh.bureau", "sz.bureau", _EPD),
    "dossier": ("sh.centre", "sz.bureau", _EPD),
    "submit": ("sh.project_applicant", "sz.sme", _EPD),
    "assess": ("sh.centre", "sz.expert", _EPD),
    "notice": ("sh.centre", "sz.bureau", _EPD),
    "publish": ("sh.centre", "sz.bureau", _EPD),
    "activity": ("sh.project_applicant", "sz.sme", _EPD),
    "issue": ("sh.centre", "sz.bureau", _EPD),
    "move": ("sh.project_applicant", "sz.holder", _EPD),
    "settle": ("sh.exchange", "sz.platform_operator", _EPD),
    "retire": ("sh.project_applicant", "sz.holder", _EPD),
    "cancel": ("sh.centre", "sz.bureau", _EPD),
    "parameter": ("sh.bureau", "sz.bureau", _EPD),
    "reserve": ("sh.centre", "sz.bureau", _EPD),
    "hold": ("sh.project_applicant", "sz.holder", "yn.holder"),
    "operate": ("sh.scene_body", "sz.data_operator", "yn.holder"),
    "read": ("sh.centre", "sz.bureau", _EPD),
}
_COLUMNS: Final = (SHANGHAI, SHENZHEN, YUNNAN)

F = TypeVar("F", bound=Callable[..., Any])


def role_for(act: str, region: RegionMember) -> str:
    """Give the role that does the act in a region."""
    return ROLES[act][_COLUMNS.index(region)]


def acting(command: F) -> F:
    """Give a command the options ``--region`` and ``--as``."""
    with_role = click.option(
        "--as",
        "role",
        help="Role of the operator, or party, that acts. [default: the body that the rules name]",
    )(command)
    return click.option(
        "--region", "region_name", required=True, help="Region: 310000, 440300, 530000, or its name."
    )(with_role)


def client_for(session: Session, region_name: str, act: str, role: str | None) -> RegionClient:
    """Give the region's client for an act.

    Raises:
        DomainError: REGION_UNKNOWN, ROLE_NOT_PERMITTED where the region has no such role.
    """
    region = require_region(region_name)
    chosen = role or role_for(act, region)
    if "/" in chosen:
        return session.as_party(chosen).region(region.code)
    if chosen not in region.roles:
        raise DomainError("ROLE_NOT_PERMITTED", role=chosen, action=act, body=", ".join(region.roles))
    return session.as_operator(region, chosen)


def party_for(region_name: str, act: str, role: str | None) -> str:
    """Give the party of who acts: ``operator/310000/sh.centre``; a whole party stays as it is."""
    region = require_region(region_name)
    chosen = role or role_for(act, region)
    return chosen if "/" in chosen else f"operator/{region.code}/{chosen}"


def holder_client(
    session: Session, region_name: str, act: str, role: str | None, account_id: str
) -> RegionClient:
    """Give the region's client for an act upon an account: with the certificate of the account's holder.

    Raises:
        DomainError: as `client_for`; ACCOUNT_UNKNOWN; CALLER_UNKNOWN where the certificate is not at hand.
    """
    return client_for(session, region_name, act, role or _holder(session, region_name, account_id))


def holder_of(session: Session, region_name: str, act: str, role: str | None, account_id: str) -> str:
    """Give the party whose certificate `holder_client` shows."""
    return party_for(region_name, act, role or _holder(session, region_name, account_id))


def _holder(session: Session, region_name: str, account_id: str) -> str | None:
    region = require_region(region_name)
    office = session.as_operator(region, role_for("accounts", region))
    request = accounts_pb2.GetAccountRequest(account_id=account_id)
    return office.accounts.GetAccount(request).account.holder_party or None


def holder_party(region: RegionMember, act: str, name: str) -> str:
    """Give the party of a holder: ``holder/310000/sh.holder/NAME``; a whole party stays as it is."""
    if not name or "/" in name:
        return name
    return f"holder/{region.code}/{role_for(act, region)}/{name}"
