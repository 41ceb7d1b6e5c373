"""Candidate search over two lists: which rows may be one asset though no id connects them.

A candidate is a nomination. It opens a case for a person; it blocks nothing and joins nothing by itself
(CLAIMS.md §5). Splink runs on DuckDB in this process; nothing leaves it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tanqiao.matching.model import FEATURES, MACROS, Parameters, comparisons, level_of
from tanqiao.matching.records import Record, ScreeningError, Vocabulary, vocabulary_of

PROBABILITY_FLOOR: Final = 0.001
"""Pairs below are not fetched, whatever the caller asks."""
BLOCKING_WORDS_MAX: Final = 4
"""The rarest words of a name by which it is looked up."""
BLOCKING_WORD_ROWS_MAX: Final = 400
"""A word in more rows than this looks nothing up."""
CELL_DEGREES: Final = 0.02
MEMORY_LIMIT: Final = "3GB"

Progress = Callable[[str], None]
"""Gets one sentence at each step."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one feature said: the level, and the weight it added (log2 of the odds)."""

    feature: str
    level: str
    weight: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two rows that may be one asset."""

    left_id: str
    right_id: str
    probability: float
    weight: float
    explanation: tuple[Explanation, ...]
    vector: tuple[int | None, ...]


def _silent(_: str) -> None:
    """Tell nobody."""


def _row(record: Record, vocabulary: Vocabulary) -> dict[str, Any]:
    first = record.positions[0] if record.positions else (None, None)
    second = record.positions[1] if len(record.positions) > 1 else (None, None)
    parts = record.parts
    rare = sorted(set(parts.words), key=lambda word: (vocabulary.frequency[word], word))[:BLOCKING_WORDS_MAX]
    return {
        "unique_id": record.id,
        "words": list(parts.words),
        "weights": [vocabulary.weight(word) for word in parts.words],
        "compact": parts.compact,
        "letters": "".join(sorted(parts.compact)) if len(parts.compact) >= 8 else None,  # noqa: PLR2004 - shorter ones say little
        "beginning": parts.compact[:6] if len(parts.compact) >= 6 else None,  # noqa: PLR2004 - a beginning of six letters
        "rare_line": vocabulary.rare_line,
        "marks": "|".join(parts.marks),
        "capacity": record.capacity_mw,
        "technology": record.technology,
        "lat": first[0],
        "lon": first[1],
        "lat2": second[0],
        "lon2": second[1],
        "provinces": sorted(record.provinces),
        "rare_words": [word for word in rare if vocabulary.frequency[word] <= BLOCKING_WORD_ROWS_MAX],
        "cells": sorted({cell for position in record.positions for cell in _cells(*position)}),
    }


def _cells(latitude: float, longitude: float) -> set[str]:
    """Name the cells of two shifted grids, so that close neighbours share one of them."""
    north, east = latitude / CELL_DEGREES, longitude / CELL_DEGREES
    return {f"{shift}:{math.floor(north + shift / 2)}:{math.floor(east + shift / 2)}" for shift in (0, 1)}


def _table(records: Sequence[Record], vocabulary: Vocabulary) -> Any:  # noqa: ANN401 - a pyarrow table; the package has no types
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    schema = pa.schema(
        [
            ("unique_id", text),
            ("words", pa.list_(text)),
            ("weights", pa.list_(number)),
            ("compact", text),
            ("letters", text),
            ("beginning", text),
            ("rare_line", number),
            ("marks", text),
            ("capacity", number),
            ("technology", text),
            ("lat", number),
            ("lon", number),
            ("lat2", number),
            ("lon2", number),
            ("provinces", pa.list_(text)),
            ("rare_words", pa.list_(text)),
            ("cells", pa.list_(text)),
        ]
    )
    return pa.Table.from_pylist([_row(record, vocabulary) for record in records], schema=schema)


def _settings(parameters: Parameters) -> Any:  # noqa: ANN401 - Splink's own type
    from splink import SettingsCreator, block_on

    return SettingsCreator(
        link_type="link_only",
        comparisons=[*comparisons(parameters)],
        blocking_rules_to_generate_predictions=[
            block_on("rare_words", arrays_to_explode=["rare_words"]),
            block_on("cells", arrays_to_explode=["cells"]),
            block_on("beginning"),
            block_on("letters"),
        ],
        probability_two_random_records_match=parameters.prior,
        retain_matching_columns=True,
        retain_intermediate_calculation_columns=False,
    )


def score(
    left: Sequence[Record],
    right: Sequence[Record],
    parameters: Parameters,
    *,
    probability_min: float = PROBABILITY_FLOOR,
    progress: Progress = _silent,
) -> list[Candidate]:
    """Compare every pair that shares a rare word, a place or a spelling; the best first.

    Raises:
        ScreeningError: the optional packages are not installed.
    """
    if not left or not right:
        return []
    try:
        import duckdb
        from splink import DuckDBAPI, Linker
    except ImportError as error:
        raise ScreeningError("needs the extra `matching`: pip install 'tanqiao[matching]'") from error
    vocabulary = vocabulary_of((left, right))
    progress(f"reading {len(left)} × {len(right)} rows into DuckDB")
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        for macro in MACROS:
            connection.execute(macro)
        with warnings.catch_warnings():
            # Splink warns of its own use of pandas and of settings that were not trained by it.
            warnings.simplefilter("ignore")
            api = DuckDBAPI(connection)
            tables = [
                api.register(_table(records, vocabulary), dataset_display_name=name)
                for records, name in ((left, "side_a"), (right, "side_b"))
            ]
            linker = Linker(tables, _settings(parameters), log_level=40)
            progress("comparing")
            found = linker.inference.predict(
                threshold_match_probability=max(probability_min, PROBABILITY_FLOOR)
            ).as_record_list()
    finally:
        connection.close()
    progress(f"{len(found)} pairs scored")
    candidates = [_candidate(row, parameters) for row in found]
    return sorted(candidates, key=lambda one: (-one.weight, one.left_id, one.right_id))


def _candidate(row: dict[str, Any], parameters: Parameters) -> Candidate:
    swapped = row["source_dataset_l"] != "side_a"
    left, right = (
        (row["unique_id_r"], row["unique_id_l"]) if swapped else (row["unique_id_l"], row["unique_id_r"])
    )
    vector = tuple(level_of(feature, int(row[f"gamma_{feature.name}"])) for feature in FEATURES)
    explanation = []
    for feature, level in zip(FEATURES, vector, strict=True):
        if level is None:
            explanation.append(Explanation(feature.name, "unknown", 0.0))
            continue
        m, u = parameters.levels[feature.name][level]
        explanation.append(Explanation(feature.name, feature.levels[level].label, math.log2(m / u)))
    return Candidate(
        left, right, float(row["match_probability"]), float(row["match_weight"]), tuple(explanation), vector
    )


def one_to_one(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Keep each row's best pair: from the best score down, a pair counts if both rows are free."""
    taken_left: set[str] = set()
    taken_right: set[str] = set()
    kept = []
    for candidate in sorted(candidates, key=lambda one: (-one.weight, one.left_id, one.right_id)):
        if candidate.left_id in taken_left or candidate.right_id in taken_right:
            continue
        taken_left.add(candidate.left_id)
        taken_right.add(candidate.right_id)
        kept.append(candidate)
    return kept


def screen(
    left: Sequence[Record],
    right: Sequence[Record],
    parameters: Parameters,
    *,
    assign_one_to_one: bool,
    probability_min: float | None = None,
    progress: Progress = _silent,
) -> list[Candidate]:
    """Find the candidates of two lists, the best first; `probability_min` replaces the shipped threshold."""
    minimum = parameters.threshold if probability_min is None else probability_min
    found = score(left, right, parameters, probability_min=minimum, progress=progress)
    return one_to_one(found) if assign_one_to_one else found
