"""Tables that are written to a file: CSV, JSON or Parquet, by its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from tanqiao.kernel.errors import DomainError

FORMATS: Final = (".csv", ".json", ".parquet")
Row = dict[str, str | int]


def require_format(path: Path | None) -> None:
    """Refuse a name that says no known form.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if path is not None and path.suffix not in FORMATS:
        raise DomainError("FIELD_INVALID", field="--out", detail=", ".join(FORMATS))


def write_rows(path: Path, rows: list[Row], columns: Sequence[str], whole_numbers: Collection[str]) -> None:
    """Write rows as CSV (UTF-8 with a byte order mark, as spreadsheets want it), JSON or Parquet."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        _write_parquet(path, rows, columns, whole_numbers)


def _write_parquet(path: Path, rows: list[Row], columns: Sequence[str], whole: Collection[str]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DomainError(
            "FIELD_INVALID", field="--out", detail="Parquet needs: pip install 'tanqiao[matching]'"
        ) from error
    schema = pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in columns])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
