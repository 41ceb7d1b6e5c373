"""The start of a node: whose database it is, its first facts, the keys and agreements that it knows."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.db.node_state import claim_database
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.recovery import EpochStart
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.signing.verify import Verifier
from tanqiao_region.application.records import Recognitions, load_recognitions, with_key_records
from tanqiao_region.application.recovery import epoch_start_of
from tanqiao_region.application.secrets import NodeSecrets
from tanqiao_region.storage import node
from tanqiao_region.storage.tables import node_state


@dataclass(frozen=True, slots=True)
class Begun:
    """What a node knows when it starts."""

    incarnation: int
    applied_log_index: int
    directory: KeyDirectory
    recognitions: Recognitions
    recovering: bool
    epoch_start: EpochStart


def prepare(connection: sa.Connection, federation: Federation, party: str, secrets: NodeSecrets) -> None:
    """Make the database this node's at its first start, and refuse another node's, or another secret.

    Raises:
        DomainError: SETTING_INVALID, KEY_FILE_INVALID.
    """
    claim_database(connection, node_state, network_id=federation.network_id, party=party)
    values = node.load_values(connection, (node.FINGERPRINT, node.INCARNATION, node.WRITER))
    if node.FINGERPRINT not in values:
        node.store_value(connection, node.FINGERPRINT, secrets.fingerprint)
    elif values[node.FINGERPRINT] != secrets.fingerprint:
        detail = "the database was made under another secret; restore the file from its backup"
        raise DomainError("KEY_FILE_INVALID", file="node.secret", detail=detail)
    if node.INCARNATION not in values:
        node.store_value(connection, node.INCARNATION, node.FIRST_INCARNATION)
    if node.WRITER not in values:
        node.store_value(connection, node.WRITER, "")


def begin(connection: sa.Connection, federation: Federation, verifier: Verifier) -> Begun:
    """Read what the node knows; every key record is verified again."""
    values = node.load_values(
        connection, (node.INCARNATION, node.APPLIED_LOG_INDEX, node.RECOVERING, node.EPOCH_RECORD)
    )
    directory = with_key_records(verifier, federation.directory(), node.load_key_envelopes(connection))
    return Begun(
        int(values[node.INCARNATION]),
        int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED)),
        directory,
        load_recognitions(connection),
        bool(values.get(node.RECOVERING)),
        epoch_start_of(values.get(node.EPOCH_RECORD, "")),
    )
