"""Writes each node's `config.toml` and makes its database's roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tanqiao.cli.local.home import DIRECTORY_MODE, HOST, Choice, Home, read_json, write_private
from tanqiao.cli.local.members import (
    BRIDGE_MEMBER,
    GATEWAYS,
    LOG_FILES,
    MEMBERS,
    NETWORK_ID,
    TEST_CLOCK_START,
    Member,
    RegionMember,
)

Values = Mapping[str, "str | Mapping[str, str]"]
OWN_FOLDERS: Final = ("data", "log")


def settings_of(
    member: Member, choice: Choice, urls: tuple[str, str] | None
) -> dict[str, str | Mapping[str, str]]:
    """Give the settings of a node.

    Args:
        member: which.
        choice: ports and kind of database.
        urls: addresses of its PostgreSQL database, the owner's and the service's; None: SQLite.
    """
    values: dict[str, str | Mapping[str, str]] = {
        "network_id": NETWORK_ID,
        "listen": f"{HOST}:{choice.ports[member.name]}",
        "database_url": f"sqlite:///data/{member.name}.sqlite" if urls is None else urls[1],
        "test_clock_start": TEST_CLOCK_START,
    }
    if urls is not None:
        values["owner_database_url"] = urls[0]
    if isinstance(member, RegionMember):
        values["region_code"] = member.code
        values["rule_pack"] = member.rule_pack
        # Its own file on either kind of database: what a witness has promised does not stand with the books.
        values["witness_database_url"] = "sqlite:///data/witness.sqlite"
        values["bridge_address"] = f"{HOST}:{choice.ports[BRIDGE_MEMBER.name]}"
    elif member in GATEWAYS:
        values["registry"] = member.name
    else:
        values["gateways"] = {gateway.name: f"{HOST}:{choice.ports[gateway.name]}" for gateway in GATEWAYS}
        if LOG_FILES in choice.ports:  # a home that was made before has no port for them
            values["log_listen"] = f"{HOST}:{choice.ports[LOG_FILES]}"
    return values


def to_toml(values: Values) -> str:
    """Give the settings as TOML: a JSON text is a TOML basic string; tables come last, as TOML wants them."""
    plain = [f"{name} = {json.dumps(value)}" for name, value in values.items() if isinstance(value, str)]
    tables = [
        "\n".join(["", f"[{name}]", *(f"{key} = {json.dumps(item)}" for key, item in value.items())])
        for name, value in values.items()
        if not isinstance(value, str)
    ]
    return "\n".join([*plain, *tables, ""])


def write_settings(home: Home, choice: Choice) -> None:
    """Make the folders and settings of every node; what is there and equal is left alone."""
    urls = _postgres_urls(home) if choice.databases == "postgres" else {}
    for member in MEMBERS:
        for folder in OWN_FOLDERS:
            (home.node(member) / folder).mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        text = to_toml(settings_of(member, choice, urls.get(member.name)))
        config = home.config(member)
        if not config.exists() or config.read_text(encoding="utf-8") != text:
            write_private(config, text)


def _postgres_urls(home: Home) -> dict[str, tuple[str, str]]:
    """Start the server, make databases and roles, and keep their passwords beside it."""
    from sqlalchemy.engine import make_url

    from tanqiao.db import embedded_postgres
    from tanqiao.db.provision import PostgresUrls, provision_postgres

    server = embedded_postgres.start(home.postgres)
    memory = home.postgres / "databases.json"
    known = read_json(memory) or {}
    rendered: dict[str, tuple[str, str]] = {}
    for member in MEMBERS:
        kept = known.get(member.name)
        urls = None
        if kept is not None:
            # Passwords stay; the port may have moved since.
            owner, service = (make_url(str(url)).set(port=server.port) for url in kept)
            urls = PostgresUrls(owner, service)
        made = provision_postgres(server.admin_url, f"tanqiao_{member.name}", known=urls)
        rendered[member.name] = made.rendered()
    write_private(memory, json.dumps(rendered, indent=1))
    return rendered
