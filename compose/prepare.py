"""Make what the containers need, once: keys, certificates, databases with two roles each, settings, schemas.

Runs before any node, in its own container, and does nothing the second time. Only this program knows the
roles that own the tables; the nodes get roles that may read and write rows. The network's name begins with
`test-`, because here one program makes every authority's root key, which elsewhere stays with its authority.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url

from tanqiao.db.provision import PostgresUrls, provision_postgres
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.provision import NetworkPlan, RegionPlan, provision_network

ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_POSTGRES_HOST": "name of the PostgreSQL server on the network of the containers",
    "TANQIAO_POSTGRES_PASSWORD": "password of its first role, who may create roles and databases",
}
HOME: Final = Path("/var/lib/tanqiao")
NETWORK_ID: Final = "test-compose"
POSTGRES_PORT: Final = 5432
PRIVATE_FILE_MODE: Final = 0o600
MIGRATION_TIMEOUT_SECONDS: Final = 300


@dataclass(frozen=True)
class Node:
    """One serving container: its name on the network, which is its directory too, and what it serves."""

    name: str
    program: str
    port: int
    settings: Mapping[str, str | Mapping[str, str]]

    @property
    def address(self) -> str:
        """Where the other containers find it."""
        return f"{self.name}:{self.port}"


@dataclass(frozen=True)
class Region:
    """A region's node: its GB/T 2260 code, its name, port and rule pack."""

    code: str
    name: str
    port: int
    pack: str


BRIDGE_ADDRESS: Final = "bridge:7400"
GATEWAYS: Final = (("ccer", 7461), ("gec", 7462))
REGIONS: Final = (
    Region("310000", "shanghai", 7431, "sh_draft"),
    Region("440300", "shenzhen", 7444, "sz_draft"),
    Region("530000", "yunnan", 7453, "yn_draft"),
)


def nodes() -> tuple[Node, ...]:
    """Return every serving container with its own settings."""
    gateways = {name: f"{name}:{port}" for name, port in GATEWAYS}
    return (
        Node("bridge", "tanqiao-bridge", 7400, {"gateways": gateways}),
        *(
            Node(
                region.name,
                "tanqiao-region",
                region.port,
                {"region_code": region.code, "rule_pack": region.pack, "bridge": BRIDGE_ADDRESS},
            )
            for region in REGIONS
        ),
        *(Node(name, "tanqiao-gateway", port, {"registry": name}) for name, port in GATEWAYS),
    )


def roles_of(pack: str) -> tuple[str, ...]:
    """Return the roles that the rule pack knows; each gets a certificate for its operator."""
    text = (files("tanqiao_region.rulepacks") / pack / "roles.toml").read_text(encoding="utf-8")
    return tuple(entry["role"] for entry in tomllib.loads(text)["roles"])


def plan() -> NetworkPlan:
    """Return the parties of this federation."""
    return NetworkPlan(
        network_id=NETWORK_ID,
        regions=tuple(RegionPlan(region.code, region.name, roles_of(region.pack)) for region in REGIONS),
        gateways=tuple(name for name, _ in GATEWAYS),
        readers=("national",),
        hosts=tuple(node.name for node in nodes()),
    )


def settings_text(node: Node, database: PostgresUrls, *, as_owner: bool) -> str:
    """Return the node's `config.toml`; with the owner's role only for whoever migrates."""
    owner, service = database.rendered()
    values: dict[str, str | Mapping[str, str]] = {
        "network_id": NETWORK_ID,
        "listen": f"0.0.0.0:{node.port}",
        "database_url": service,
        **({"owner_database_url": owner} if as_owner else {}),
        "tls_directory": str(HOME / node.name / "tls"),
        "keys_directory": str(HOME / node.name / "keys"),
        "federation_file": str(HOME / node.name / "federation.json"),
        **node.settings,
    }
    # A JSON string is a TOML basic string; tables go last, as TOML wants them.
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if isinstance(value, str)]
    for name, value in values.items():
        if not isinstance(value, str):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(item)}" for key, item in value.items())]
    return "\n".join(lines) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.touch(mode=PRIVATE_FILE_MODE)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def database_of(admin: URL, node: Node) -> PostgresUrls:
    """Make the node's database and roles, or find them again with the passwords kept from the first time."""
    memory = HOME / "owners" / f"{node.name}.json"
    known = None
    if memory.is_file():
        urls = json.loads(memory.read_text(encoding="utf-8"))
        known = PostgresUrls(make_url(urls["owner"]), make_url(urls["service"]))
    database = provision_postgres(admin, f"tanqiao_{node.name}", known=known)
    owner, service = database.rendered()
    write_private(memory, json.dumps({"owner": owner, "service": service}))
    return database


def migrate(node: Node, database: PostgresUrls) -> None:
    """Bring the node's schema up to this version, in the owner's role; raise where the program refuses."""
    settings = HOME / "owners" / f"{node.name}.toml"
    write_private(settings, settings_text(node, database, as_owner=True))
    subprocess.run(
        [node.program, "migrate", "--config", str(settings)], check=True, timeout=MIGRATION_TIMEOUT_SECONDS
    )


def prepare(admin: URL) -> None:
    """Do everything, in the order in which one step needs the other."""
    provision_network(HOME, plan(), now=datetime.now(UTC))
    for node in nodes():
        database = database_of(admin, node)
        migrate(node, database)
        write_private(HOME / node.name / "config.toml", settings_text(node, database, as_owner=False))
        print(f"{node.name}: ready to serve at {node.address}", flush=True)


def main() -> int:
    """Read the environment and prepare; return a process exit code."""
    missing = [name for name in ENVIRONMENT if not os.environ.get(name)]
    if missing:
        print(f"Set {', '.join(missing)}.")
        return 2
    admin = URL.create(
        "postgresql+psycopg",
        username="postgres",
        password=os.environ["TANQIAO_POSTGRES_PASSWORD"],
        host=os.environ["TANQIAO_POSTGRES_HOST"],
        port=POSTGRES_PORT,
        database="postgres",
    )
    try:
        prepare(admin)
    except DomainError as refusal:
        print(f"{refusal.reason}: {refusal}")
        return 1
    except subprocess.SubprocessError as failure:
        print(f"migrating failed: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
