"""For whom uses are, where that may be a person: sealed under a key of its own, mutable, deletable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_region.storage.tables import beneficiary_data, outgoing_transfer


class BeneficiaryRow(NamedTuple):
    """A sealed name and salt; `wrapped_key` is its key under the node's own secret."""

    transfer_id: bytes
    sealed: bytes
    wrapped_key: bytes


def insert_beneficiaries(connection: sa.Connection, rows: Sequence[BeneficiaryRow]) -> None:
    """Keep sealed beneficiaries."""
    insert_rows(connection, beneficiary_data, rows)


def load_beneficiaries(
    connection: sa.Connection, transfer_ids: Iterable[bytes]
) -> dict[bytes, BeneficiaryRow]:
    """Give the sealed beneficiaries of some uses, by id."""
    wanted = [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)]
    rows = rows_by_key(connection, beneficiary_data, ("transfer_id",), wanted)
    return {bytes(row[0]): BeneficiaryRow(*(bytes(one) for one in row)) for row in rows}


def delete_of_account(connection: sa.Connection, account_id: str) -> int:
    """Forget for whom the uses of an account were, with the keys that read it; how many were sealed."""
    uses = sa.select(outgoing_transfer.c.transfer_id).where(outgoing_transfer.c.account_id == account_id)
    done = connection.execute(sa.delete(beneficiary_data).where(beneficiary_data.c.transfer_id.in_(uses)))
    return int(done.rowcount)
