"""`tanqiao-bridge restore --from-mirror`: the bridge's database made again on an empty machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tanqiao.db.node_state import claim_database, set_state
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import Federation
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.recovery_key import Unsealer, load_recovery_key
from tanqiao.witnessing.mirrors import Mirrors
from tanqiao.witnessing.running import open_witness_database
from tanqiao_bridge.application.rebuilding import Rebuilding, RebuiltLeaf
from tanqiao_bridge.application.restoring import Begun, begin_epoch
from tanqiao_bridge.application.sending_again import REBUILT_SIZE
from tanqiao_bridge.application.start import EPOCH
from tanqiao_bridge.bootstrap import open_database
from tanqiao_bridge.settings import Settings
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.tables import key_record, node_state

FIRST_EPOCH = "1"


@dataclass(frozen=True, slots=True)
class RootKeys:
    """What the authority brings to the machine and takes away again.

    Args:
        root: keyring of the root.
        recovery_key: file of the private recovery key.
        root_passphrase: of the root, None where it is not encrypted.
        recovery_passphrase: of the recovery key, likewise.
    """

    root: Path
    recovery_key: Path
    root_passphrase: bytes | None = None
    recovery_passphrase: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came back: leaves, from whose mirrors, which were refused and why; and the epoch that began."""

    size: int
    parties: tuple[str, ...]
    refused: tuple[str, ...]
    begun: Begun


def rebuild_from_mirrors(
    settings: Settings, paths: Sequence[Path], keys: RootKeys, *, epoch: int | None = None
) -> Rebuilt:
    """Make the database again from mirrors of the log, and begin a new epoch that continues behind them.

    Args:
        settings: of the bridge; its database is empty.
        paths: mirror files, of as many witnesses as there are.
        keys: root and recovery key of the authority.
        epoch: number of the new epoch, where one is lost; None: the next one.

    Raises:
        DomainError: ALREADY_EXISTS for a database with a log, MIRROR_INVALID, MIRRORS_MISSING,
            MIRROR_RECORD_UNSOUND, and what `restore` raises.
    """
    root = Keyring.open(keys.root, keys.root_passphrase).signer(KeyRole.ROOT)
    bridge = Keyring.open(settings.keys_directory).signer(KeyRole.MESSAGE)
    unsealer = Unsealer(load_recovery_key(keys.recovery_key, keys.recovery_passphrase), settings.network_id)
    federation = Federation.load(settings.federation_file)
    mirrors = Mirrors(federation, paths)

    def work(unit: UnitOfWork) -> Begun:
        connection = unit.connection
        _require_empty(connection, settings)
        claim_database(connection, node_state, network_id=settings.network_id, party=BRIDGE)
        set_state(connection, node_state, EPOCH, FIRST_EPOCH)
        rebuilding = Rebuilding(connection, mirrors.handovers)
        for leaves in mirrors.whole(unsealer):
            rebuilding.feed(
                [
                    RebuiltLeaf(
                        one.seen.log_index, one.seen.data, one.seen.envelopes, one.record, not one.is_settled
                    )
                    for one in leaves
                ]
            )
        rebuilding.finish()
        set_state(connection, node_state, REBUILT_SIZE, str(mirrors.size))
        now = int(time.time())
        begun = begin_epoch(connection, settings.network_id, root, bridge, epoch=epoch, now=now)
        unit.commit()
        return begun

    try:
        with tempfile.TemporaryDirectory(prefix="tanqiao-rebuild-") as folder:
            scratch = open_witness_database(f"sqlite:///{folder}/witness.db")
            try:
                mirrors.replay(scratch)
            finally:
                scratch.close()
        database = open_database(settings)
        try:
            begun = run_in_transaction(database, work)
        finally:
            database.close()
        refused = tuple(str(one.refusal) for one in mirrors.refused)
        return Rebuilt(mirrors.size, tuple(one.party for one in mirrors.used), refused, begun)
    finally:
        mirrors.close()


def _require_empty(connection: sa.Connection, settings: Settings) -> None:
    """Demand that nothing was ever logged here: a rebuild does not mend a database, it makes one."""
    known = connection.execute(sa.select(sa.func.count()).select_from(key_record)).scalar()
    if known or log.log_size(connection):
        raise DomainError("ALREADY_EXISTS", what="log", id=settings.database_url.rpartition("@")[2])
