"""Roles and databases on a PostgreSQL server: the service role does not own its tables.

Per node two roles: the *owner* migrates and owns every table; the *service* reads and writes rows and can
neither change a table, nor switch a guard off, nor truncate. What a guard forbids stays forbidden to both.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tanqiao.db.faults import DATABASE_UNAVAILABLE, one_line, setting_invalid
from tanqiao.kernel.errors import DomainError

NAME_CHARACTERS_MAX: Final = 48
CONNECTIONS_PER_SERVICE_MAX: Final = 100
# A first session in a database that was made a moment ago waits for the disk where it is slow.
CONNECT_SECONDS_MAX: Final = 120
STRATEGIES_VERSION_MIN: Final = 150_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """Addresses of one database, with passwords: the owner's for migrations, the service's for the node."""

    owner: URL
    service: URL

    def rendered(self) -> tuple[str, str]:
        """Give both with their passwords, to be kept in a file that only its owner may read."""
        return self.owner.render_as_string(hide_password=False), self.service.render_as_string(
            hide_password=False
        )


def provision_postgres(
    admin_url: str | URL, name: str, *, known: PostgresUrls | None = None, template: str = "template0"
) -> PostgresUrls:
    """Make the database `name` and its roles `name_owner` and `name_service`; do nothing twice.

    Args:
        admin_url: a role that may create roles and databases.
        name: lower-case letters, digits and underscores.
        known: what a former call returned; passwords are kept. Without it new ones are set.
        template: a database to copy; `template0` is the empty one.

    Raises:
        DomainError: SETTING_INVALID for the name, DATABASE_UNAVAILABLE when the server refuses.
    """
    if len(name) > NAME_CHARACTERS_MAX or not _NAME.fullmatch(name):
        raise setting_invalid(f"{name} is no name of a database: lower-case letters, digits and underscores")
    admin = make_url(admin_url)
    owner, service = f"{name}_owner", f"{name}_service"
    urls = known or PostgresUrls(
        _url(admin, name, owner, secrets.token_urlsafe(24)),
        _url(admin, name, service, secrets.token_urlsafe(24)),
    )
    try:
        with _session(admin) as session:
            _ensure_role(session, owner, urls.owner.password or "")
            _ensure_role(session, service, urls.service.password or "")
            _ensure_database(session, name, owner, template)
            _limit_database(session, name, owner, service)
        with _session(admin.set(database=name)) as session:
            _limit_schema(session, owner, service)
    except psycopg.Error as error:
        raise DomainError(
            DATABASE_UNAVAILABLE, directory=f"{admin.host}:{admin.port}", detail=one_line(error)
        ) from error
    return urls


def drop_postgres(admin_url: str | URL, name: str, *, roles: bool = True) -> None:
    """Delete the database, ending its sessions, and its roles; used by tests."""
    with _session(make_url(admin_url)) as session:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        if roles:
            for role in (f"{name}_service", f"{name}_owner"):
                session.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def copy_database(admin_url: str | URL, urls: PostgresUrls, name: str) -> PostgresUrls:
    """Make a copy of a provisioned database, with the same roles, under another name; used by tests."""
    source = urls.owner.database or ""
    with _session(make_url(admin_url)) as session:
        # Copying the files of so small a database takes half as long as writing each page to the log.
        knows_strategies = session.info.server_version >= STRATEGIES_VERSION_MIN
        session.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} {}").format(
                sql.Identifier(name),
                sql.Identifier(source),
                sql.Identifier(urls.owner.username or ""),
                sql.SQL("STRATEGY FILE_COPY" if knows_strategies else ""),
            )
        )
        _limit_database(session, name, urls.owner.username or "", urls.service.username or "")
    return PostgresUrls(urls.owner.set(database=name), urls.service.set(database=name))


def libpq_address(url: URL) -> str:
    """Give the address as libpq and psycopg understand it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _session(url: URL) -> psycopg.Connection[Any]:
    return psycopg.connect(libpq_address(url), autocommit=True, connect_timeout=CONNECT_SECONDS_MAX)


def _url(admin: URL, database: str, role: str, password: str) -> URL:
    return admin.set(drivername="postgresql+psycopg", database=database, username=role, password=password)


def _ensure_role(session: psycopg.Connection[Any], role: str, password: str) -> None:
    exists = session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
    session.execute(
        sql.SQL(
            "{} {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
            "CONNECTION LIMIT {} PASSWORD {}"
        ).format(verb, sql.Identifier(role), sql.Literal(CONNECTIONS_PER_SERVICE_MAX), sql.Literal(password))
    )


def _ensure_database(session: psycopg.Connection[Any], name: str, owner: str, template: str) -> None:
    if session.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        session.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template)
            )
        )


def _limit_database(session: psycopg.Connection[Any], name: str, owner: str, service: str) -> None:
    database = sql.Identifier(name)
    session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    session.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
            database, sql.Identifier(owner), sql.Identifier(service)
        )
    )


def _limit_schema(session: psycopg.Connection[Any], owner: str, service: str) -> None:
    owner_name, service_name = sql.Identifier(owner), sql.Identifier(service)
    session.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    session.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(owner_name))
    session.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(service_name))
    for kind, rights in (("TABLES", "SELECT, INSERT, UPDATE, DELETE"), ("SEQUENCES", "USAGE, SELECT")):
        session.execute(
            sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public GRANT {} ON {} TO {}").format(
                owner_name, sql.SQL(rights), sql.SQL(kind), service_name
            )
        )
