"""Sealed logs in a database: tiles, the tree that was persisted last, checkpoints and their cosignatures.

The same tables serve a log of one's own and logs that are kept for others, each by the name of its origin.
Leaves stand elsewhere, with the fact that they record; an entry bundle is made of them when it is asked for.
A tile is one row that widens: a narrower tile is the beginning of a wider one. What was persisted for a size
is never another tree: sizes only grow, and the row is replaced only by who grew it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, update_by_key
from tanqiao.db.engine import Database
from tanqiao.db.guards import Guard, append_only, never_decreases, undeletable
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import HASH_SIZE_BYTES, Node
from tanqiao.tlog.sealing import EMPTY_TREE, Tree
from tanqiao.tlog.tiles import ENTRIES_LEVEL, Tile, encode_bundle, tile_of, tile_root

CHECKPOINT_KEPT_MS: Final = 3_600_000
"""How long a checkpoint waits for its quorum before a newer one takes its place."""

ReadLeaves = Callable[[sa.Connection, int, int], Sequence[bytes]]
"""Gives at most so many leaves from an index on, dense."""
CheckLease = Callable[[sa.Connection], None]


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as the log signed it, and when it was sealed (milliseconds since 1970)."""

    size: int
    note: bytes
    sealed_at_ms: int


class SealedLogs:
    """Tables of sealed logs and what is done with them."""

    def __init__(self, metadata: sa.MetaData) -> None:
        self.tiles: Final = sa.Table(
            "tree_tile",
            metadata,
            sa.Column("log", sa.String(128), primary_key=True),
            sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("width", sa.Integer, nullable=False),
            sa.Column("hashes", sa.LargeBinary, nullable=False),
            sa.CheckConstraint("width BETWEEN 1 AND 256", name="width_of_a_tile"),
        )
        self.trees: Final = sa.Table(
            "sealed_tree",
            metadata,
            sa.Column("log", sa.String(128), primary_key=True),
            sa.Column("size", sa.BigInteger, nullable=False),
            sa.Column("root", sa.LargeBinary, nullable=False),
        )
        self.checkpoints: Final = sa.Table(
            "tree_checkpoint",
            metadata,
            sa.Column("log", sa.String(128), primary_key=True),
            sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("note", sa.LargeBinary, nullable=False),
            sa.Column("sealed_at_ms", sa.BigInteger, nullable=False),
        )
        self.cosignatures: Final = sa.Table(
            "tree_cosignature",
            metadata,
            sa.Column("log", sa.String(128), primary_key=True),
            sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("witness", sa.String(128), primary_key=True),
            sa.Column("line", sa.Text, nullable=False),
        )
        self.cosigned: Final = sa.Table(
            "tree_cosigned",
            metadata,
            sa.Column("log", sa.String(128), primary_key=True),
            sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("note", sa.LargeBinary, nullable=False),
            sa.Column("sealed_at_ms", sa.BigInteger, nullable=False),
            sa.Column("cosigned_at_ms", sa.BigInteger, nullable=False),
        )

    def guards(self) -> tuple[Guard, ...]:
        """Give the guards: trees and tiles only grow; what a quorum cosigned is for ever."""
        return (
            undeletable(self.tiles.name),
            never_decreases(self.tiles.name, "width"),
            undeletable(self.trees.name),
            never_decreases(self.trees.name, "size"),
            append_only(self.cosigned.name),
        )

    # -- trees and tiles -------------------------------------------------------------------------------------

    def tree(self, connection: sa.Connection, log: str) -> Tree:
        """Give the tree that was persisted last."""
        row = connection.execute(
            sa.select(self.trees.c.size, self.trees.c.root).where(self.trees.c.log == log)
        ).first()
        return EMPTY_TREE if row is None else Tree(row.size, bytes(row.root))

    def grow(
        self, connection: sa.Connection, log: str, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]
    ) -> None:
        """Persist a tree and the tiles that it has more than the one before; bundles are passed over.

        Raises:
            TlogError: `LOG_FENCED` when the persisted tree is another one than `before`.
        """
        changed = connection.execute(
            sa.update(self.trees)
            .where(
                self.trees.c.log == log,
                self.trees.c.size == before.size,
                self.trees.c.root == before.root,
            )
            .values(size=after.size, root=after.root)
        ).rowcount
        if not changed:
            if before != EMPTY_TREE or self.tree(connection, log) != EMPTY_TREE:
                raise TlogError("LOG_FENCED", f"the tree is no longer that of {before.size} leaves")
            connection.execute(sa.insert(self.trees).values(log=log, size=after.size, root=after.root))
        self._write_tiles(connection, log, tiles)

    def _write_tiles(self, connection: sa.Connection, log: str, tiles: Mapping[Tile, bytes]) -> None:
        widest: dict[tuple[int, int], tuple[int, bytes]] = {}
        for tile, data in tiles.items():
            if tile.level != ENTRIES_LEVEL:
                place = (tile.level, tile.number)
                widest[place] = max(widest.get(place, (0, b"")), (tile.width, data))
        for (level, number), (width, data) in widest.items():
            row = (log, level, number, width, data)
            keys = ("log", "level", "number")
            if not update_by_key(connection, self.tiles, keys, ("width", "hashes"), [row]):
                insert_rows(connection, self.tiles, [row])

    def read_tile(self, connection: sa.Connection, log: str, tile: Tile) -> bytes:
        """Give the hashes of a tile of exactly this width; `TILE_MISSING` where there are not so many."""
        columns = self.tiles.c
        row = connection.execute(
            sa.select(columns.hashes).where(
                columns.log == log,
                columns.level == tile.level,
                columns.number == tile.number,
                columns.width >= tile.width,
            )
        ).first()
        if row is None:
            raise TlogError("TILE_MISSING", tile.path)
        return bytes(row.hashes)[: tile.width * HASH_SIZE_BYTES]

    # -- checkpoints -----------------------------------------------------------------------------------------

    def publish(
        self, connection: sa.Connection, log: str, size: int, note: bytes, *, sealed_at_ms: int
    ) -> None:
        """Keep a signed checkpoint, and forget old ones; one of this size that is there stays as it is."""
        columns = self.checkpoints.c
        known = connection.execute(
            sa.select(columns.size).where(columns.log == log, columns.size == size)
        ).first()
        if known is not None:
            return
        insert_rows(connection, self.checkpoints, [(log, size, note, sealed_at_ms)])
        for table in (self.cosignatures, self.checkpoints):
            old = sa.select(columns.size).where(
                columns.log == log,
                columns.size < size,
                columns.sealed_at_ms < sealed_at_ms - CHECKPOINT_KEPT_MS,
            )
            connection.execute(sa.delete(table).where(table.c.log == log, table.c.size.in_(old)))

    def checkpoint(
        self, connection: sa.Connection, log: str, size: int | None = None
    ) -> StoredCheckpoint | None:
        """Give the checkpoint of a size, or the newest."""
        return self._newest(connection, self.checkpoints, log, size)

    def checkpoint_to_cosign(
        self, connection: sa.Connection, log: str, after_size: int
    ) -> StoredCheckpoint | None:
        """Give the checkpoint behind a size that most have cosigned, of equals the newest; None without one.

        Witnesses that each took the newest would cosign different sizes while the log grows: no quorum.
        """
        checkpoints, lines = self.checkpoints.c, self.cosignatures.c
        cosigned = (
            sa.select(sa.func.count())
            .where(lines.log == checkpoints.log, lines.size == checkpoints.size)
            .scalar_subquery()
        )
        row = connection.execute(
            sa.select(checkpoints.size, checkpoints.note, checkpoints.sealed_at_ms)
            .where(checkpoints.log == log, checkpoints.size > after_size)
            .order_by(cosigned.desc(), checkpoints.size.desc())
            .limit(1)
        ).first()
        return None if row is None else StoredCheckpoint(row.size, bytes(row.note), row.sealed_at_ms)

    def locked_checkpoint(self, connection: sa.Connection, log: str, size: int) -> StoredCheckpoint | None:
        """Give the checkpoint of a size; until this transaction ends nobody else adds a cosignature to it."""
        columns = self.checkpoints.c
        row = connection.execute(
            sa.select(columns.size, columns.note, columns.sealed_at_ms)
            .where(columns.log == log, columns.size == size)
            .with_for_update()
        ).first()
        return None if row is None else StoredCheckpoint(row.size, bytes(row.note), row.sealed_at_ms)

    def cosigned_checkpoint(
        self, connection: sa.Connection, log: str, at_least: int = 0
    ) -> StoredCheckpoint | None:
        """Give the newest checkpoint with a quorum, if it has at least so many leaves."""
        found = self._newest(connection, self.cosigned, log, None)
        return found if found is not None and found.size >= at_least else None

    def cosigned_at(self, connection: sa.Connection, log: str, size: int) -> StoredCheckpoint | None:
        """Give the checkpoint of exactly this size that a quorum has cosigned."""
        return self._newest(connection, self.cosigned, log, size)

    def _newest(
        self, connection: sa.Connection, table: sa.Table, log: str, size: int | None
    ) -> StoredCheckpoint | None:
        columns = table.c
        statement = sa.select(columns.size, columns.note, columns.sealed_at_ms).where(columns.log == log)
        if size is not None:
            statement = statement.where(columns.size == size)
        row = connection.execute(statement.order_by(columns.size.desc()).limit(1)).first()
        return None if row is None else StoredCheckpoint(row.size, bytes(row.note), row.sealed_at_ms)

    # -- cosignatures ----------------------------------------------------------------------------------------

    def cosignatures_of(self, connection: sa.Connection, log: str, size: int) -> dict[str, str]:
        """Give the lines collected for a checkpoint, by witness."""
        columns = self.cosignatures.c
        rows = connection.execute(
            sa.select(columns.witness, columns.line)
            .where(columns.log == log, columns.size == size)
            .order_by(columns.witness)
        )
        return {row.witness: row.line for row in rows}

    def add_cosignature(
        self, connection: sa.Connection, log: str, size: int, witness: str, line: str
    ) -> dict[str, str]:
        """Keep a witness's line for a checkpoint, the first one; every line of that size by witness."""
        lines = self.cosignatures_of(connection, log, size)
        if witness not in lines:
            insert_rows(connection, self.cosignatures, [(log, size, witness, line)])
            lines[witness] = line
        return lines

    def keep_cosigned(
        self, connection: sa.Connection, log: str, checkpoint: StoredCheckpoint, *, cosigned_at_ms: int
    ) -> None:
        """Keep a checkpoint with its quorum, and forget what was waiting below it."""
        insert_rows(
            connection,
            self.cosigned,
            [(log, checkpoint.size, checkpoint.note, checkpoint.sealed_at_ms, cosigned_at_ms)],
        )
        for table in (self.checkpoints, self.cosignatures):
            connection.execute(sa.delete(table).where(table.c.log == log, table.c.size < checkpoint.size))


class TilesOf:
    """Tiles, bundles and node hashes of one log: a `TileSource` and a `HashReader` on a connection."""

    def __init__(
        self, logs: SealedLogs, connection: sa.Connection, log: str, size: int, leaves: ReadLeaves
    ) -> None:
        self._logs = logs
        self._connection = connection
        self._log = log
        self._size = size
        self._leaves = leaves
        self._cache: dict[Tile, bytes] = {}

    def read_tile(self, tile: Tile) -> bytes:
        """Give a tile or bundle within the sealed size; `TILE_MISSING` for any other."""
        if tile.level != ENTRIES_LEVEL:
            return self._logs.read_tile(self._connection, self._log, tile)
        first = tile.number * 256
        if first + tile.width > self._size:
            raise TlogError("TILE_MISSING", tile.path)
        return encode_bundle(self._leaves(self._connection, first, tile.width))

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Give hashes of perfect subtrees, each tile read once."""
        hashes = []
        for node in nodes:
            tile, offset, count = tile_of(node, self._size)
            if tile not in self._cache:
                self._cache[tile] = self.read_tile(tile)
            start = offset * HASH_SIZE_BYTES
            hashes.append(tile_root(self._cache[tile][start : start + count * HASH_SIZE_BYTES]))
        return hashes


class DatabaseLogStore:
    """The durable side of one log for `tanqiao.tlog.sealing.Sealer`; every write is one transaction.

    Args:
        database: where the log is.
        logs: its tables.
        log: origin of the log.
        leaves: reads its leaves.
        now_ms: wall clock, milliseconds since 1970.
        require_lease: raises LEASE_LOST in the transaction of a write once another sealer has taken over.
    """

    def __init__(
        self,
        database: Database,
        logs: SealedLogs,
        log: str,
        leaves: ReadLeaves,
        now_ms: Callable[[], int],
        require_lease: CheckLease = lambda _connection: None,
    ) -> None:
        self._database = database
        self._logs = logs
        self._log = log
        self._leaves = leaves
        self._now_ms = now_ms
        self._require_lease = require_lease

    def sealed_tree(self) -> Tree:
        """Give the tree that was persisted last."""
        with self._database.reading() as connection:
            return self._logs.tree(connection, self._log)

    def read_leaves(self, start: int, limit: int) -> Sequence[bytes]:
        """Give durable leaves, as stored."""
        with self._database.reading() as connection:
            return self._leaves(connection, start, limit)

    def read_tile(self, tile: Tile) -> bytes:
        """Give a tile."""
        with self._database.reading() as connection:
            return self._logs.read_tile(connection, self._log, tile)

    def persist_tree(self, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]) -> None:
        """Persist the tree and its tiles, fenced by the tree before and by the lease."""
        with self._database.writing() as connection:
            self._require_lease(connection)
            self._logs.grow(connection, self._log, before, after, tiles)
            connection.commit()

    def publish(self, note: bytes) -> None:
        """Keep the signed checkpoint: from then on it is answered to whoever asks."""
        size = int(note.split(b"\n", 2)[1])
        with self._database.writing() as connection:
            self._require_lease(connection)
            self._logs.publish(connection, self._log, size, note, sealed_at_ms=self._now_ms())
            connection.commit()
