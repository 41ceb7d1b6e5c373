"""One command's view of a federation: its home, its clients, each with the certificate of whoever acts."""

from __future__ import annotations

import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import DEFAULT_HOME, POSTGRES_HOME, Home
from tanqiao.cli.local.members import READER, RegionMember, find_region
from tanqiao.cli.output import Output
from tanqiao.client import BridgeClient, Federation, GatewayClient, RegionClient
from tanqiao.kernel.errors import DomainError

REQUEST_ID_BYTES = 8


def choose_home(named: Path | None) -> Home:
    """Give the home that is meant: the named one, else the default one that runs, else the default one."""
    if named is not None:
        return Home(named)
    for path in (DEFAULT_HOME, POSTGRES_HOME):
        home = Home(path)
        if home.run_file.is_file() and LocalFederation(home).started():
            return home
    return Home(DEFAULT_HOME)


def new_request_id() -> str:
    """Give a request id for a call whose caller names none."""
    return f"cli-{secrets.token_hex(REQUEST_ID_BYTES)}"


class Session:
    """Connections are opened when they are first needed and closed with the session."""

    def __init__(self, home: Home, output: Output, *, home_named: bool = True) -> None:
        self.home = home
        self.output = output
        self.home_named = home_named
        self._federations: dict[str, Federation] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for federation in self._federations.values():
            federation.close()
        self._federations.clear()

    def as_party(self, party: str) -> Federation:
        """Give clients of all servers with the certificate of a party: ``operator/310000/sh.centre``."""
        if party not in self._federations:
            self._federations[party] = Federation(self.home.addresses(), self.home.caller_tls(party))
        return self._federations[party]

    def as_operator(self, region: RegionMember, role: str) -> RegionClient:
        """Give the client of a region with the certificate of one of its operators."""
        return self.as_party(f"operator/{region.code}/{role}").region(region.code)

    def reader(self) -> Federation:
        """Give clients with the certificate of the national reader."""
        return self.as_party(READER)

    @property
    def bridge(self) -> BridgeClient:
        """The bridge, read by the national reader."""
        return self.reader().bridge

    def gateway(self, name: str, *, role: str | None = None) -> GatewayClient:
        """Give a gateway; `role` is an operator party for what changes it."""
        return (self.reader() if role is None else self.as_party(role)).gateway(name)


def require_region(text: str) -> RegionMember:
    """Find the region that is meant.

    Raises:
        DomainError: REGION_UNKNOWN.
    """
    region = find_region(text)
    if region is None:
        raise DomainError("REGION_UNKNOWN", field="region", region=text)
    return region
