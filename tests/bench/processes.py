"""Real processes of a federation in a temporary directory: certificates, keys, databases, free ports.

The same machinery as `tanqiao up`, with the difference that only the members that an item needs are started.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc

from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import Choice, Home, write_private
from tanqiao.cli.local.members import (
    BRIDGE_MEMBER,
    GATEWAYS,
    MEMBERS,
    SHANGHAI,
    SHENZHEN,
    Member,
    network_plan,
)
from tanqiao.cli.local.settings import write_settings
from tanqiao.db import embedded_postgres
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.ports import free_ports, is_free
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.provision import Network, provision_network

BRIDGE_AND_GATEWAYS: Final = (*GATEWAYS, BRIDGE_MEMBER)
PORT_SECONDS_MAX: Final = 60.0
TWO_REGIONS: Final = (*BRIDGE_AND_GATEWAYS, SHANGHAI, SHENZHEN)


class Federation:
    """A federation of one directory on one kind of database.

    Args:
        folder: made if it does not exist.
        database: ``sqlite`` or ``postgres``.
        report: told each step in words.
        quorum: witnesses that make a decision final; 0: none, so that the protocol alone is measured.
    """

    def __init__(
        self, folder: Path, database: str, report: Callable[[str], None], *, quorum: int = 0
    ) -> None:
        self._quorum = quorum
        self.database: Final = database
        self.home: Final = Home(folder)
        self._report = report
        self._local = LocalFederation(self.home)
        self._network: Network | None = None
        self._channels: dict[tuple[str, str], grpc.Channel] = {}
        self._signers: dict[str, Signer] = {}

    @property
    def network(self) -> Network:
        """Keys and certificates of everybody; made when first asked for, with the settings of every node."""
        if self._network is None:
            folder = self.home.path
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = [member.name for member in MEMBERS]
            choice = Choice(self.database, dict(zip(names, free_ports(len(names)), strict=True)))
            write_private(self.home.choice_file, json.dumps(asdict(choice)))
            plan = replace(network_plan(), quorum=self._quorum)
            self._network = provision_network(folder, plan, now=datetime.now(UTC))
            write_settings(self.home, choice)
        return self._network

    def start(self, members: Iterable[Member]) -> None:
        """Start those of the members that do not run, and wait until each serves."""
        self.network  # noqa: B018 - made when asked for
        self._local.start_missing(members, report=lambda _line: None)

    def start_seconds(self, member: Member) -> float:
        """Start one member that does not run; seconds until it answers its health check."""
        self.network  # noqa: B018 - made when asked for
        start = time.perf_counter()
        self._local.start_missing([member], report=lambda _line: None)
        return time.perf_counter() - start

    def pid(self, member: Member) -> int:
        """Give the process of a member that runs."""
        return self._local.started()[member.name].pid

    def kill(self, member: Member) -> None:
        """End a member at once, and wait until its port is free: its last threads hold it a little longer."""
        self._local.kill(member)
        deadline = time.monotonic() + PORT_SECONDS_MAX
        while not is_free(self.home.require_made().ports[member.name]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the port of {member.name} stays in use")
            time.sleep(0.01)

    def channel(self, member: Member, party: str) -> grpc.Channel:
        """Give the channel of a party to a member; it stays open until the federation stops."""
        key = (member.name, party)
        if key not in self._channels:
            self._channels[key] = open_channel(self.home.address(member), self.network.tls(party))
        return self._channels[key]

    def signer(self, party: str) -> Signer:
        """Give the message key of a party that serves."""
        if party not in self._signers:
            self._signers[party] = Keyring.open(self.network.node(party) / "keys").signer(KeyRole.MESSAGE)
        return self._signers[party]

    @property
    def postgres(self) -> embedded_postgres.EmbeddedPostgres:
        """The PostgreSQL server of the nodes."""
        self.network  # noqa: B018 - made when asked for
        return embedded_postgres.start(self.home.postgres)

    def stop(self) -> None:
        """Stop every process and the database server, and remove what they wrote: no item finds another's."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self._local.down(report=lambda _line: None)
        if self.home.postgres.is_dir():
            embedded_postgres.remove(self.home.postgres)
        shutil.rmtree(self.home.path, ignore_errors=True)
