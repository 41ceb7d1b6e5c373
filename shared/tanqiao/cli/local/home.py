"""The directory of a local federation: what is where, and the few facts that are chosen once.

`home.json` keeps which database the nodes use and their ports: both are chosen at the first start and stay.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tanqiao.cli.local.members import MEMBERS, NETWORK_ID, Member, network_plan
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.federation import FEDERATION_NAME, Federation
from tanqiao.signing.provision import HOLDER, Network, holder_directory, issue_holder

DEFAULT_HOME: Final = Path(".tanqiao")
POSTGRES_HOME: Final = DEFAULT_HOME / "postgres"
"""Where a federation on PostgreSQL lives unless another directory is named."""
HOST: Final = "127.0.0.1"
DATABASES: Final = ("sqlite", "postgres")
DIRECTORY_MODE: Final = 0o700
PRIVATE_FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen at the first start: kind of database, and the port of each node by name."""

    databases: str
    ports: dict[str, int]


class Home:
    """Paths of one federation; nothing is written by asking."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def choice_file(self) -> Path:
        """`home.json`."""
        return self.path / "home.json"

    @property
    def run_file(self) -> Path:
        """`run.json`: which processes were started."""
        return self.path / "run.json"

    @property
    def postgres(self) -> Path:
        """Directory of the PostgreSQL server of this federation."""
        return self.path / "postgresql"

    def node(self, member: Member) -> Path:
        """Directory of a node."""
        return self.path / member.name

    def config(self, member: Member) -> Path:
        """Settings of a node."""
        return self.node(member) / "config.toml"

    def log(self, member: Member) -> Path:
        """What a node wrote to its standard output and error."""
        return self.node(member) / "log" / f"{member.name}.log"

    def choice(self) -> Choice | None:
        """Read what was chosen, or None before the first start.

        Raises:
            DomainError: SETTING_INVALID for a file that is damaged.
        """
        value = read_json(self.choice_file)
        if value is None:
            return None
        try:
            choice = Choice(str(value["databases"]), {str(k): int(v) for k, v in value["ports"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(self.choice_file, error) from error
        if choice.databases not in DATABASES or any(member.name not in choice.ports for member in MEMBERS):
            raise _damaged(self.choice_file, "databases or ports are missing")
        return choice

    def require_made(self) -> Choice:
        """Give the choice of a federation that exists.

        Raises:
            DomainError: DIRECTORY_MISSING with what to do.
        """
        choice = self.choice() if self.path.is_dir() else None
        if choice is None:
            raise DomainError("DIRECTORY_MISSING", directory=self.path)
        return choice

    def address(self, member: Member) -> str:
        """Where a node serves."""
        return f"{HOST}:{self.require_made().ports[member.name]}"

    def addresses(self) -> dict[str, str]:
        """Address of each serving party."""
        ports = self.require_made().ports
        return {member.party: f"{HOST}:{ports[member.name]}" for member in MEMBERS}

    def caller_tls(self, party: str) -> TlsFiles:
        """Certificate of a calling party.

        Raises:
            DomainError: CALLER_UNKNOWN when there is none for it.
        """
        if party.startswith(HOLDER):
            files = TlsFiles.of(holder_directory(self.path, party) / "tls")
            if not files.certificate.is_file():
                raise DomainError("CALLER_UNKNOWN", caller=party)
            return files
        known = {owner: directory for directory, owner in network_plan().callers()}
        if party not in known:
            raise DomainError("CALLER_UNKNOWN", caller=party)
        return TlsFiles.of(self.path / known[party] / "tls")

    def make_holder(self, party: str) -> None:
        """Make the certificate of a holder of this federation unless it is there."""
        self.require_made()
        issue_holder(self.path, self.network_id, party, now=datetime.now(UTC))

    def network(self) -> Network:
        """Give keys and certificates of everybody, for what authorities sign."""
        self.require_made()
        path = self.path / "network" / FEDERATION_NAME
        return Network(self.path, network_plan(), Federation.load(path))

    @property
    def network_id(self) -> str:
        """Name of the network; it begins with ``test-``."""
        return NETWORK_ID


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a small JSON object; None when there is no file.

    Raises:
        DomainError: SETTING_INVALID for a file that is no JSON object, FILE_MISSING where it cannot be read.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, "an object is wanted")
    return value


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _damaged(path: Path, detail: object) -> DomainError:
    return DomainError("SETTING_INVALID", setting=path.name, detail=f"{path}: {detail}")
