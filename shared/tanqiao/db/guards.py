"""What the database itself refuses, whoever asks: guards as data, made by migrations, looked for by name.

A guard is a few triggers and indexes with fixed names, one text for each of the two databases. A node does
not start, and a migration is rolled back, while one of them is absent, switched off or not as written here.
The texts are frozen once a schema with them was released: another behaviour is a guard with another name.

On PostgreSQL the triggers fire ALWAYS, also in a session that plays a replica. On SQLite they hold for each
connection with `recursive_triggers=ON`, which `tanqiao.db.sqlite` asserts: without it REPLACE deletes unseen.
A refusal is an IntegrityError whose guard `tanqiao.db.faults.violated_guard` names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

NAME_CHARACTERS_MAX: Final = 63  # PostgreSQL cuts longer ones
_DIGEST_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of the database: a function, a trigger or a unique index, and the text that makes it.

    Attributes:
        kind: what it is.
        name: unique in the database.
        table: that it belongs to.
        create: the statement.
        body: of a function, as PostgreSQL keeps it.
        columns: of a unique index.
        made_elsewhere: whether the table's own definition has the index (a primary key) under another name.
    """

    kind: Literal["function", "trigger", "unique"]
    name: str
    table: str
    create: str
    body: str = ""
    columns: tuple[str, ...] = ()
    made_elsewhere: bool = False

    @property
    def digest(self) -> str:
        """What marks the object on PostgreSQL as made by this very text."""
        return hashlib.sha256(" ".join(self.create.split()).encode()).hexdigest()[:_DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Guard:
    """A named promise of the database about one table."""

    name: str
    table: str
    sqlite: tuple[Piece, ...]
    postgresql: tuple[Piece, ...]

    def __post_init__(self) -> None:
        for piece in (*self.sqlite, *self.postgresql):
            require(len(piece.name) <= NAME_CHARACTERS_MAX, f"the name {piece.name} of a guard is too long")

    def pieces(self, connection: sa.Connection) -> tuple[Piece, ...]:
        """Give the objects of this guard on the connection's database."""
        return self.sqlite if connection.dialect.name == "sqlite" else self.postgresql


def append_only(table: str) -> Guard:
    """Rows are never changed, removed, replaced or truncated (ARCHITECTURE section 2, rule 5)."""
    name = f"{table}_append_only"
    return _refusing(
        name, table, f"rows of {table} are never changed or removed", ("UPDATE", None), ("DELETE", None)
    )


def undeletable(table: str) -> Guard:
    """Rows may change and are never removed, replaced or truncated."""
    return _refusing(f"{table}_undeletable", table, f"rows of {table} are never removed", ("DELETE", None))


def immutable(table: str, *columns: str) -> Guard:
    """The columns keep what was inserted; the row may be removed unless another guard forbids it."""
    changed = [_changed(column) for column in columns]
    message = f"{', '.join(columns)} of {table} never change"
    name = f"{table}_immutable_{'_'.join(columns)}"
    return _refusing(_short(name), table, message, ("UPDATE", _any_of(changed)))


def write_once(table: str, *columns: str) -> Guard:
    """The columns may be NULL at first and are set once."""
    changed = [
        (f"OLD.{_q(c)} IS NOT NULL AND {sqlite}", f"OLD.{_q(c)} IS NOT NULL AND {postgresql}")
        for c in columns
        for sqlite, postgresql in (_changed(c),)
    ]
    message = f"{', '.join(columns)} of {table} are written once"
    name = f"{table}_write_once_{'_'.join(columns)}"
    return _refusing(_short(name), table, message, ("UPDATE", _any_of(changed)))


def never_decreases(table: str, *columns: str) -> Guard:
    """The columns are marks that only move forward: a sequence, an epoch, what was acknowledged."""
    less = [(f"NEW.{_q(column)} < OLD.{_q(column)}",) * 2 for column in columns]
    message = f"{', '.join(columns)} of {table} never decrease"
    name = f"{table}_never_decreases_{'_'.join(columns)}"
    return _refusing(_short(name), table, message, ("UPDATE", _any_of(less)))


@dataclass(frozen=True, slots=True)
class BlockColumns:
    """The columns of a table of blocks: what names the series, and the half-open range [start, end)."""

    series: tuple[str, ...]
    start: str
    end: str


def no_overlap(
    table: str,
    columns: BlockColumns,
    *,
    series_table: str,
    series_key: tuple[str, ...],
    start_is_key: bool = False,
) -> Guard:
    """Blocks of one series are disjoint and not empty (ARCHITECTURE section 4).

    Unique (series, start), unique (series, end), and a trigger that locks the series' row and looks at the
    neighbour. It holds under READ COMMITTED only, which it asserts: under REPEATABLE READ a transaction that
    waited for the lock would not see what the other one wrote. On PostgreSQL rows are checked at the end
    of an INSERT and of an UPDATE that moves a block; on SQLite row by row, so that a statement that shifts
    several blocks must remove before it adds.

    Args:
        table: of the blocks.
        columns: of a block, all NOT NULL.
        series_table: has one row per series; it is locked.
        series_key: its columns, in the order of `columns.series`.
        start_is_key: whether a primary key or unique constraint on (series, start) exists already.
    """
    require(len(columns.series) == len(series_key), "a series is named by the same columns in both tables")
    name = f"{table}_no_overlap"
    message = f"{name}: a block of {table} overlaps another one of its series or is empty"
    uniques = tuple(
        _unique(
            f"{name}_{column}", table, (*columns.series, column), made_elsewhere=start_is_key and is_start
        )
        for column, is_start in ((columns.start, True), (columns.end, False))
    )
    return Guard(
        name,
        table,
        sqlite=(*uniques, *_sqlite_overlap_triggers(name, table, columns, message)),
        postgresql=(*uniques, *_postgres_overlap(name, table, columns, message, series_table, series_key)),
    )


def install(connection: sa.Connection, guards: Iterable[Guard]) -> None:
    """Make the guards, replacing what bears their names; inside a migration's transaction."""
    for guard in guards:
        for piece in guard.pieces(connection):
            if piece.made_elsewhere:
                continue
            _drop(connection, piece)
            connection.exec_driver_sql(piece.create)
            if piece.kind == "trigger" and connection.dialect.name != "sqlite":
                of_table = f"{_q(piece.name)} ON {_q(piece.table)}"
                connection.exec_driver_sql(f"COMMENT ON TRIGGER {of_table} IS '{piece.digest}'")
                connection.exec_driver_sql(
                    f"ALTER TABLE {_q(piece.table)} ENABLE ALWAYS TRIGGER {_q(piece.name)}"
                )


def remove(connection: sa.Connection, guards: Iterable[Guard]) -> None:
    """Take the guards away, before their table is rebuilt; a migration puts them back."""
    for guard in guards:
        for piece in reversed(guard.pieces(connection)):
            if not piece.made_elsewhere:
                _drop(connection, piece)


def missing(connection: sa.Connection, guards: Iterable[Guard]) -> list[str]:
    """Name the objects that are absent, switched off, or not what this program would make."""
    has = (_sqlite_objects if connection.dialect.name == "sqlite" else _postgres_objects)(connection)
    return [piece.name for guard in guards for piece in guard.pieces(connection) if not has(piece)]


def require_guards(connection: sa.Connection, guards: Iterable[Guard]) -> None:
    """Raise DATABASE_GUARD_MISSING, naming every object that `missing` finds."""
    absent = missing(connection, guards)
    if absent:
        raise DomainError("DATABASE_GUARD_MISSING", guards=absent)


def guard_object_names(guards: Iterable[Guard]) -> frozenset[str]:
    """Give the names of what guards make; a comparison of schemas leaves them out."""
    return frozenset(
        piece.name
        for guard in guards
        for piece in (*guard.sqlite, *guard.postgresql)
        if not piece.made_elsewhere
    )


# (condition on SQLite, condition on PostgreSQL) over OLD and NEW
_Condition = tuple[str, str]


def _refusing(name: str, table: str, message: str, *events: tuple[str, _Condition | None]) -> Guard:
    """Make a guard that refuses events, each when its condition holds; TRUNCATE with every DELETE."""
    sqlite: list[Piece] = []
    function = _refusing_function(name, table, message)
    postgresql: list[Piece] = [function]
    for event, condition in events:
        trigger = f"{name}_{event.lower()}"
        sqlite.append(
            _sqlite_trigger(
                trigger, table, f"BEFORE {event}", condition and condition[0], f"{name}: {message}"
            )
        )
        when = f" WHEN ({condition[1]})" if condition is not None else ""
        postgresql.append(
            _postgres_trigger(trigger, table, f"BEFORE {event}", f"FOR EACH ROW{when}", function.name)
        )
        if event == "DELETE":
            postgresql.append(
                _postgres_trigger(
                    f"{name}_truncate", table, "BEFORE TRUNCATE", "FOR EACH STATEMENT", function.name
                )
            )
    return Guard(name, table, tuple(sqlite), tuple(postgresql))


def _sqlite_trigger(name: str, table: str, event: str, condition: str | None, message: str) -> Piece:
    when = f" WHEN {condition}" if condition else ""
    text = f"SELECT RAISE(ABORT, {_text(message)})"
    create = f"CREATE TRIGGER {_q(name)} {event} ON {_q(table)} FOR EACH ROW{when} BEGIN {text}; END"
    return Piece("trigger", name, table, create)


def _postgres_trigger(name: str, table: str, event: str, scope: str, function: str) -> Piece:
    create = f"CREATE TRIGGER {_q(name)} {event} ON {_q(table)} {scope} EXECUTE FUNCTION {_q(function)}()"
    return Piece("trigger", name, table, create)


def _refusing_function(name: str, table: str, message: str) -> Piece:
    body = f"\nBEGIN\n  {_raise(name, table, message)}\nEND\n"
    create = f"CREATE FUNCTION {_q(name)}() RETURNS trigger LANGUAGE plpgsql AS $guard${body}$guard$"
    return Piece("function", name, table, create, body=body)


def _raise(name: str, table: str, message: str) -> str:
    return (
        "RAISE EXCEPTION USING ERRCODE = 'restrict_violation', "
        f"CONSTRAINT = {_text(name)}, TABLE = {_text(table)}, MESSAGE = {_text(message)};"
    )


def _unique(name: str, table: str, columns: tuple[str, ...], *, made_elsewhere: bool) -> Piece:
    listed = ", ".join(_q(column) for column in columns)
    create = f"CREATE UNIQUE INDEX {_q(name)} ON {_q(table)} ({listed})"
    return Piece("unique", name, table, create, columns=columns, made_elsewhere=made_elsewhere)


def _sqlite_overlap_triggers(name: str, table: str, columns: BlockColumns, message: str) -> Iterable[Piece]:
    start, end = _q(columns.start), _q(columns.end)
    same = " AND ".join(f"b.{_q(column)} = NEW.{_q(column)}" for column in columns.series)
    listed = ", ".join(_q(column) for column in (*columns.series, columns.start, columns.end))
    # A row is itself by (series, start), which is unique: a table without row ids can be guarded too.
    key = (*columns.series, columns.start)
    itself = " AND ".join(f"b.{_q(column)} = OLD.{_q(column)}" for column in key)
    for suffix, event, others in (
        ("insert", "BEFORE INSERT", ""),
        ("update", f"BEFORE UPDATE OF {listed}", f" AND NOT ({itself})"),
    ):
        neighbour_end = (
            f"SELECT b.{end} FROM {_q(table)} AS b WHERE {same} AND b.{start} < NEW.{end}{others} "  # noqa: S608
            f"ORDER BY b.{start} DESC LIMIT 1"
        )
        condition = f"NEW.{start} < 0 OR NEW.{end} <= NEW.{start} OR ({neighbour_end}) > NEW.{start}"
        yield _sqlite_trigger(f"{name}_{suffix}", table, event, condition, message)


def _postgres_overlap(
    name: str, table: str, columns: BlockColumns, message: str, series_table: str, series_key: tuple[str, ...]
) -> Iterable[Piece]:
    insert, update = f"{name}_insert", f"{name}_update"
    moved = [
        f"OLD.{_q(column)} IS DISTINCT FROM NEW.{_q(column)}"
        for column in (*columns.series, columns.start, columns.end)
    ]
    for trigger, rows in ((insert, "moved"), (update, "(SELECT NEW.*) AS moved")):
        body = _overlap_body(name, table, columns, message, (series_table, series_key), rows)
        yield Piece(
            "function",
            trigger,
            table,
            f"CREATE FUNCTION {_q(trigger)}() RETURNS trigger LANGUAGE plpgsql AS $guard${body}$guard$",
            body=body,
        )
    scope = "REFERENCING NEW TABLE AS moved FOR EACH STATEMENT"
    yield _postgres_trigger(insert, table, "AFTER INSERT", scope, insert)
    yield _postgres_trigger(
        update, table, "AFTER UPDATE", f"FOR EACH ROW WHEN ({' OR '.join(moved)})", update
    )


def _overlap_body(
    name: str,
    table: str,
    columns: BlockColumns,
    message: str,
    series: tuple[str, tuple[str, ...]],
    rows: str,
) -> str:
    """Give the body of the function: the rows to check are those of `moved`."""
    series_table, series_key = series
    start, end = _q(columns.start), _q(columns.end)
    names = ", ".join(_q(column) for column in columns.series)
    key = ", ".join(f"s.{_q(column)}" for column in series_key)
    same = " AND ".join(f"b.{_q(column)} = moved.{_q(column)}" for column in columns.series)
    return f"""
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
      MESSAGE = '{name} holds under READ COMMITTED only';
  END IF;
  PERFORM 1 FROM {_q(series_table)} AS s
    WHERE ({key}) IN (SELECT {names} FROM {rows})
    ORDER BY {key} FOR NO KEY UPDATE;
  PERFORM 1 FROM {rows}
    WHERE moved.{start} < 0 OR moved.{end} <= moved.{start} OR EXISTS (
      SELECT 1 FROM (
        SELECT b.{end} AS neighbour_end FROM {_q(table)} AS b
        WHERE {same} AND b.{start} < moved.{end} AND b.{start} <> moved.{start}
        ORDER BY b.{start} DESC LIMIT 1) AS neighbour
      WHERE neighbour.neighbour_end > moved.{start})
    LIMIT 1;
  IF FOUND THEN
    {_raise(name, table, message)}
  END IF;
  RETURN NULL;
END
"""  # noqa: S608 - names of our tables


def _drop(connection: sa.Connection, piece: Piece) -> None:
    if piece.kind == "unique":
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {_q(piece.name)}")
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_q(piece.name)}")
    elif piece.kind == "function":
        # With the triggers that use it, which follow it in the guard.
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_q(piece.name)}() CASCADE")
    else:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_q(piece.name)} ON {_q(piece.table)}")


def _sqlite_objects(connection: sa.Connection) -> Callable[[Piece], bool]:
    """Look at all objects at once; whether a piece is there as it was written."""
    made = {
        (name, table): " ".join(text.split())
        for name, table, text in connection.exec_driver_sql(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        )
    }
    unique: dict[tuple[str, str], list[str]] = {}
    for table, index, column in connection.exec_driver_sql(
        "SELECT m.name, i.name, c.name FROM sqlite_master AS m JOIN pragma_index_list(m.name) AS i "
        "JOIN pragma_index_info(i.name) AS c WHERE m.type = 'table' AND i.\"unique\" ORDER BY c.seqno"
    ):
        unique.setdefault((table, index), []).append(column)
    keys = {(table, tuple(columns)) for (table, _), columns in unique.items()}

    def has(piece: Piece) -> bool:
        if piece.made_elsewhere:
            return (piece.table, piece.columns) in keys
        return made.get((piece.name, piece.table)) == " ".join(piece.create.split())

    return has


_POSTGRES_FUNCTIONS: Final = (
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
)
_POSTGRES_TRIGGERS: Final = (
    "SELECT t.tgname, c.relname, obj_description(t.oid, 'pg_trigger') FROM pg_trigger AS t "
    "JOIN pg_class AS c ON c.oid = t.tgrelid "
    "WHERE c.relnamespace = current_schema()::regnamespace AND t.tgenabled = 'A'"
)
_POSTGRES_UNIQUES: Final = (
    "SELECT x.relname, c.relname, array_agg(a.attname::text ORDER BY k.place) "
    "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_class AS x ON x.oid = i.indexrelid "
    "CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place) "
    "JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number "
    "WHERE c.relnamespace = current_schema()::regnamespace AND i.indisunique AND i.indisvalid "
    "AND i.indpred IS NULL AND i.indimmediate GROUP BY x.relname, c.relname"
)


def _postgres_objects(connection: sa.Connection) -> Callable[[Piece], bool]:
    """Look at all objects at once; whether a piece is there as it was written, and switched on."""
    functions: dict[str, str] = dict(connection.exec_driver_sql(_POSTGRES_FUNCTIONS).all())
    triggers = {
        (name, table): digest for name, table, digest in connection.exec_driver_sql(_POSTGRES_TRIGGERS)
    }
    uniques = {
        (name, table): tuple(columns)
        for name, table, columns in connection.exec_driver_sql(_POSTGRES_UNIQUES)
    }
    keys = {(table, columns) for (_, table), columns in uniques.items()}

    def has(piece: Piece) -> bool:
        if piece.kind == "function":
            return functions.get(piece.name) == piece.body
        if piece.kind == "trigger":
            return triggers.get((piece.name, piece.table)) == piece.digest
        if piece.made_elsewhere:
            return (piece.table, piece.columns) in keys
        return uniques.get((piece.name, piece.table)) == piece.columns

    return has


def _changed(column: str) -> _Condition:
    return (
        f"NEW.{_q(column)} IS NOT OLD.{_q(column)}",
        f"NEW.{_q(column)} IS DISTINCT FROM OLD.{_q(column)}",
    )


def _any_of(conditions: Sequence[tuple[str, ...]]) -> _Condition:
    require(len(conditions) > 0, "a guard names at least one column")
    sqlite, postgresql = (
        " OR ".join(f"({part})" for part in parts) for parts in zip(*conditions, strict=True)
    )
    return sqlite, postgresql


def _short(name: str) -> str:
    """Keep room for the suffix of a trigger in PostgreSQL's bound on names."""
    room = NAME_CHARACTERS_MAX - len("_truncate")
    if len(name) <= room:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: room - len(digest) - 1]}_{digest}"


def _q(name: str) -> str:
    require('"' not in name and "'" not in name, f"{name} cannot be the name of a table or column")
    return f'"{name}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
