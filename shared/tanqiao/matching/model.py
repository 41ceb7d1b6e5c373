"""What Splink compares, and with which parameters: the levels of each feature, and the trained weights.

Weights are log odds of the Fellegi–Sunter model (Fellegi and Sunter 1969, as Splink has it): how much more
often
a level occurs among pairs that are one asset than among pairs that only look alike. They come from
`parameters/screening.json`, which `scripts/train_screening.py` writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

NULL_LEVEL: Final = -1

MACROS: Final = (
    # Weight of the words of one name that the other has too, as a share of all; a Chinese name is one
    # long word, so that words are also looked for inside it, and its own share is then counted in letters.
    """CREATE OR REPLACE MACRO held_share(words, weights, other_words, other_compact) AS
       coalesce(list_sum(list_transform(words, lambda word: CASE
         WHEN list_contains(other_words, word) OR (length(word) >= 5 AND contains(other_compact, word))
         THEN weights[list_position(words, word)] ELSE 0.0 END)), 0.0) / greatest(list_sum(weights),
         0.000001)""",
    # Weight of the rarest word that the other name has too.
    """CREATE OR REPLACE MACRO rarest_shared(words, weights, other_words) AS
       coalesce(list_max(list_transform(words, lambda word: CASE WHEN list_contains(other_words, word)
         THEN weights[list_position(words, word)] ELSE 0.0 END)), 0.0)""",
    """CREATE OR REPLACE MACRO letters_share(compact, other_words) AS
       coalesce(list_sum(list_transform(other_words, lambda word: CASE
         WHEN length(word) >= 3 AND contains(compact, word) THEN length(word) ELSE 0 END)), 0)
       / greatest(length(compact), 1)""",
    """CREATE OR REPLACE MACRO cover(words, weights, compact, other_words, other_compact) AS
       greatest(held_share(words, weights, other_words, other_compact),
         CASE WHEN letters_share(compact, other_words) >= 0.9 THEN 1.0 ELSE 0.0 END)""",
    """CREATE OR REPLACE MACRO kilometres(lat_a, lon_a, lat_b, lon_b) AS
       12742.0 * asin(sqrt(least(1.0, pow(sin(radians(lat_b - lat_a) / 2), 2)
         + cos(radians(lat_a)) * cos(radians(lat_b)) * pow(sin(radians(lon_b - lon_a) / 2), 2))))""",
)
"""Functions that the conditions below call; kilometres by the haversine on a sphere of 6,371 km."""

_COVER_L: Final = "cover(words_l, weights_l, compact_l, words_r, compact_r)"
_COVER_R: Final = "cover(words_r, weights_r, compact_r, words_l, compact_l)"
_DISTANCE: Final = (
    "least(kilometres(lat_l, lon_l, lat_r, lon_r), kilometres(lat2_l, lon2_l, lat_r, lon_r),"
    " kilometres(lat_l, lon_l, lat2_r, lon2_r))"
)
_CAPACITY_GAP: Final = "abs(capacity_l - capacity_r)"
_CAPACITY_MAX: Final = "greatest(capacity_l, capacity_r)"


@dataclass(frozen=True, slots=True)
class Level:
    """One outcome of a comparison: its name in explanations, and its condition in DuckDB's SQL."""

    label: str
    condition: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One comparison: when it says nothing, and its levels, the first that holds counts."""

    name: str
    unknown: str
    levels: tuple[Level, ...]


FEATURES: Final = (
    Feature(
        "name",
        "compact_l = '' OR compact_r = ''",
        (
            Level("same words", f"compact_l = compact_r OR least({_COVER_L}, {_COVER_R}) >= 0.999"),
            Level(
                "same but for one letter",
                "length(compact_l) >= 6 AND abs(length(compact_l) - length(compact_r)) <= 1"
                " AND damerau_levenshtein(compact_l, compact_r) <= 1",
            ),
            Level(
                "one holds the other, by a word that hardly any row has",
                f"greatest({_COVER_L}, {_COVER_R}) >= 0.999"
                " AND rarest_shared(words_l, weights_l, words_r) >= least(rare_line_l, rare_line_r)",
            ),
            Level(
                "one holds the other, little is left",
                f"greatest({_COVER_L}, {_COVER_R}) >= 0.999 AND least({_COVER_L}, {_COVER_R}) >= 0.6",
            ),
            Level(
                "one holds the other",
                f"greatest({_COVER_L}, {_COVER_R}) >= 0.999 AND least({_COVER_L}, {_COVER_R}) >= 0.3",
            ),
            Level("one holds the other, much is left", f"greatest({_COVER_L}, {_COVER_R}) >= 0.999"),
            Level("most words shared", f"least({_COVER_L}, {_COVER_R}) >= 0.6"),
            Level("some words shared", f"least({_COVER_L}, {_COVER_R}) >= 0.3"),
            Level("other words", "ELSE"),
        ),
    ),
    Feature(
        "phase",
        "marks_l IS NULL OR marks_r IS NULL",
        (
            Level("same phase", "marks_l = marks_r AND marks_l <> ''"),
            Level("neither names a phase", "marks_l = '' AND marks_r = ''"),
            Level("the first phase on one side only", "marks_l IN ('', '1') AND marks_r IN ('', '1')"),
            Level("a phase on one side only", "marks_l = '' OR marks_r = ''"),
            Level("other phases", "ELSE"),
        ),
    ),
    Feature(
        "capacity",
        "capacity_l IS NULL OR capacity_r IS NULL",
        (
            Level(
                "equal, or one truncated to whole MW",
                f"{_CAPACITY_GAP} <= 0.01 OR least(capacity_l, capacity_r) = floor({_CAPACITY_MAX})",
            ),
            Level(
                "within 1 MW and 5 %", f"{_CAPACITY_GAP} <= 1 AND {_CAPACITY_GAP} <= 0.05 * {_CAPACITY_MAX}"
            ),
            Level("within 15 %", f"{_CAPACITY_GAP} <= 0.15 * {_CAPACITY_MAX}"),
            Level("other capacity", "ELSE"),
        ),
    ),
    Feature(
        "technology",
        "technology_l IS NULL OR technology_r IS NULL",
        (Level("same kind", "technology_l = technology_r"), Level("other kind", "ELSE")),
    ),
    Feature(
        "position",
        "lat_l IS NULL OR lat_r IS NULL",
        (
            Level("within 200 m", f"{_DISTANCE} <= 0.2"),
            Level("within 3 km", f"{_DISTANCE} <= 3"),
            Level("within 15 km", f"{_DISTANCE} <= 15"),
            Level("within 60 km", f"{_DISTANCE} <= 60"),
            Level("farther", "ELSE"),
        ),
    ),
    Feature(
        "province",
        "len(provinces_l) = 0 OR len(provinces_r) = 0",
        (Level("same province", "list_has_any(provinces_l, provinces_r)"), Level("other province", "ELSE")),
    ),
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What training found.

    Attributes:
        prior: share of one asset among the pairs that are compared.
        threshold: probability from which on a pair is a candidate.
        levels: per feature, for each level in order: (m, u).
    """

    prior: float
    threshold: float
    levels: dict[str, tuple[tuple[float, float], ...]]


def shipped_parameters() -> Parameters:
    """Read the parameters that come with the program."""
    return parameters_from(
        json.loads((files("tanqiao.matching") / "parameters" / "screening.json").read_text(encoding="utf-8"))
    )


def parameters_from(document: dict[str, Any]) -> Parameters:
    """Read parameters from the document that training writes."""
    levels = {
        feature.name: tuple(
            (
                float(document["features"][feature.name][level.label]["m"]),
                float(document["features"][feature.name][level.label]["u"]),
            )
            for level in feature.levels
        )
        for feature in FEATURES
    }
    return Parameters(float(document["prior"]), float(document["threshold"]), levels)


def comparisons(parameters: Parameters) -> list[dict[str, Any]]:
    """Give the comparisons in Splink's settings."""
    found = []
    for feature in FEATURES:
        levels: list[dict[str, Any]] = [
            {"sql_condition": feature.unknown, "label_for_charts": "unknown", "is_null_level": True}
        ]
        for level, (m, u) in zip(feature.levels, parameters.levels[feature.name], strict=True):
            levels.append(
                {
                    "sql_condition": level.condition,
                    "label_for_charts": level.label,
                    "m_probability": m,
                    "u_probability": u,
                }
            )
        found.append(
            {
                "output_column_name": feature.name,
                "comparison_description": feature.name,
                "comparison_levels": levels,
            }
        )
    return found


def level_of(feature: Feature, vector_value: int) -> int | None:
    """Give the index of the level that Splink's comparison vector value stands for; None where unknown."""
    # Splink counts from the last level (0) upwards.
    return None if vector_value == NULL_LEVEL else len(feature.levels) - 1 - vector_value
