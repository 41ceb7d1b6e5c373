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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url

from tanqiao.cli.local.home import DIRECTORY_MODE, Choice, write_private
from tanqiao.cli.local.members import BRIDGE_MEMBER, GATEWAYS, MEMBERS, Member, RegionMember, network_plan
from tanqiao.cli.local.settings import settings_of, to_toml
from tanqiao.db.provision import PostgresUrls, provision_postgres
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.provision import NetworkPlan, provision_network

ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_POSTGRES_HOST": "name of the PostgreSQL server on the network of the containers",
    "TANQIAO_POSTGRES_PASSWORD": "password of its first role, who may create roles and databases",
}
HOME: Final = Path("/var/lib/tanqiao")
NETWORK_ID: Final = "test-compose"
POSTGRES_PORT: Final = 5432
DATA_FOLDER: Final = "data"
MIGRATION_TIMEOUT_SECONDS: Final = 300


def program_of(member: Member) -> str:
    """Return the installed program of a member: `tanqiao_region.main` is `tanqiao-region`."""
    return member.module.partition(".")[0].replace("_", "-")


def plan() -> NetworkPlan:
    """Return the parties of this federation; nodes are found by the names of their containers."""
    return replace(network_plan(), network_id=NETWORK_ID, hosts=tuple(member.name for member in MEMBERS))


def settings_text(member: Member, database: PostgresUrls, *, as_owner: bool) -> str:
    """Return the node's `config.toml`; with the owner's role only for whoever migrates."""
    owner, service = database.rendered()
    ports = {each.name: each.port for each in MEMBERS}
    values = dict(settings_of(member, Choice("postgres", ports), (owner, service)))
    values["network_id"] = NETWORK_ID
    values["listen"] = f"0.0.0.0:{member.port}"
    # The machine's clock: a test clock belongs to stories told on one machine.
    del values["test_clock_start"]
    if not as_owner:
        del values["owner_database_url"]
    if isinstance(member, RegionMember):
        values["bridge_address"] = f"{BRIDGE_MEMBER.name}:{BRIDGE_MEMBER.port}"
    if member is BRIDGE_MEMBER:
        values["gateways"] = {gateway.name: f"{gateway.name}:{gateway.port}" for gateway in GATEWAYS}
    return to_toml(values)


def database_of(admin: URL, member: Member) -> PostgresUrls:
    """Make the node's database and roles, or find them again with the passwords kept from the first time."""
    memory = HOME / "owners" / f"{member.name}.json"
    memory.parent.mkdir(exist_ok=True)
    known = None
    if memory.is_file():
        urls = json.loads(memory.read_text(encoding="utf-8"))
        known = PostgresUrls(make_url(urls["owner"]), make_url(urls["service"]))
    database = provision_postgres(admin, f"tanqiao_{member.name}", known=known)
    owner, service = database.rendered()
    write_private(memory, json.dumps({"owner": owner, "service": service}))
    return database


def migrate(member: Member, database: PostgresUrls) -> None:
    """Bring the node's schema up to this version, in the owner's role; raise where the program refuses."""
    settings = HOME / "owners" / f"{member.name}.toml"
    write_private(settings, settings_text(member, database, as_owner=True))
    subprocess.run(
        [program_of(member), "migrate", "--config", str(settings)],
        check=True,
        timeout=MIGRATION_TIMEOUT_SECONDS,
    )


def make_folders(member: Member) -> None:
    """Make the folder of the files that a node keeps beside PostgreSQL: a witness's promises."""
    (HOME / member.name / DATA_FOLDER).mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def prepare(admin: URL) -> None:
    """Do everything, in the order in which one step needs the other."""
    provision_network(HOME, plan(), now=datetime.now(UTC))
    for member in MEMBERS:
        database = database_of(admin, member)
        migrate(member, database)
        make_folders(member)
        write_private(HOME / member.name / "config.toml", settings_text(member, database, as_owner=False))
        print(f"{member.name}: ready to serve at port {member.port}", flush=True)


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
