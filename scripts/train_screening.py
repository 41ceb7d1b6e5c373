"""Train the candidate search on one half of labelled pairs, choose the threshold there, report on the other.

    python scripts/train_screening.py DATA_DIRECTORY [--write]

DATA_DIRECTORY holds plants_cn.csv, cdm_projects.csv, pairs_known.csv and lookalikes_known.csv. Halves are
made by the SHA-256 of the ids. The regression learns from pairs that were compared and touch a labelled row
of the training half, and from its look-alikes. With `--write` the parameters of the package are replaced.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tanqiao.matching import screening
from tanqiao.matching.model import FEATURES, Parameters, parameters_from
from tanqiao.matching.records import Record, read_mapping, read_records

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "shared" / "tanqiao" / "matching"
TARGET: Final = PACKAGE / "parameters" / "screening.json"
PENALTY: Final = 0.3
"""Ridge penalty: a level that was never seen among pairs of one asset is unlikely, not impossible."""
LOOKALIKE_COUNT: Final = 5.0
"""How often each look-alike counts: they are few, and the cases on which the search is judged."""
NEWTON_STEPS_MAX: Final = 50
STEP_SMALL: Final = 1e-8

Pair = tuple[str, str]
Vector = tuple[int | None, ...]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """The lists and the labels."""

    plants: list[Record]
    projects: list[Record]
    pairs: frozenset[Pair]
    lookalikes_a: list[Record]
    lookalikes_b: list[Record]
    lookalikes: frozenset[Pair]


def half(*ids: str) -> int:
    """Give the half (0 trains, 1 reports) that ids belong to."""
    return hashlib.sha256("|".join(ids).encode()).digest()[0] % 2


def _pairs(path: Path, left: str, right: str) -> frozenset[Pair]:
    with path.open(encoding="utf-8", newline="") as file:
        return frozenset((row[left], row[right]) for row in csv.DictReader(file))


def load(directory: Path) -> Data:
    """Read lists and labels."""
    plants = read_mapping(PACKAGE / "mappings" / "plants_cdm.toml")
    alike = read_mapping(PACKAGE / "mappings" / "lookalikes.toml")
    lookalikes = directory / "lookalikes_known.csv"
    return Data(
        read_records(directory / "plants_cn.csv", plants.left).rows,
        read_records(directory / "cdm_projects.csv", plants.right).rows,
        _pairs(directory / "pairs_known.csv", "plant_id", "cdm_ref"),
        read_records(lookalikes, alike.left).rows,
        read_records(lookalikes, alike.right).rows,
        _pairs(lookalikes, "cdm_ref_a", "cdm_ref_b"),
    )


def uniform() -> Parameters:
    """Give parameters under which every compared pair is as likely as any: for collecting vectors."""
    return Parameters(0.5, 0.0, {f.name: tuple((0.5, 0.5) for _ in f.levels) for f in FEATURES})


def without_positions(records: Iterable[Record]) -> list[Record]:
    """Blank the positions, and the provinces that were computed from them."""
    return [replace(record, positions=(), provinces=record.parts.provinces) for record in records]


def labelled_vectors(data: Data) -> tuple[list[Vector], list[int], list[float]]:
    """Collect the training half: vectors of levels, whether they are one asset, and how much each counts.

    Plants are compared with their positions and once more without them: positions were often copied from the
    projects, and a model that leans on them is of no use where they are missing.
    """
    vectors: list[Vector] = []
    outcomes: list[int] = []
    counts: list[float] = []
    lefts = {left for left, _ in data.pairs if half(left) == 0}
    rights = {right for left, right in data.pairs if half(left) == 0}
    for plants in (data.plants, without_positions(data.plants)):
        for one in screening.score(plants, data.projects, uniform()):
            pair = (one.left_id, one.right_id)
            if pair in data.pairs and half(pair[0]) != 0:
                continue
            if pair[0] in lefts or pair[1] in rights:
                vectors.append(one.vector)
                outcomes.append(int(pair in data.pairs))
                counts.append(1.0)
    for one in screening.score(data.lookalikes_a, data.lookalikes_b, uniform()):
        pair = (one.left_id, one.right_id)
        if pair in data.lookalikes and half(*pair) == 0:
            vectors.append(one.vector)
            outcomes.append(0)
            counts.append(LOOKALIKE_COUNT)
    print(f"{sum(outcomes)} vectors of one asset, {len(outcomes) - sum(outcomes)} that are not")
    return vectors, outcomes, counts


def fitted(
    vectors: Sequence[Vector], outcomes: Sequence[int], counts: Sequence[float]
) -> tuple[float, Array]:
    """Fit the log odds of each level by penalised logistic regression (Newton's method).

    Counting m and u feature by feature assumes that features are independent; here position, phase and name
    are not, for neighbouring phases stand at one place. The regression gives each its share.
    """
    starts = np.cumsum([0, *(len(feature.levels) for feature in FEATURES)])
    design = np.zeros((len(vectors), int(starts[-1]) + 1))
    design[:, -1] = 1.0
    for row, vector in enumerate(vectors):
        for number, level in enumerate(vector):
            if level is not None:
                design[row, starts[number] + level] = 1.0
    outcome, count = np.array(outcomes, dtype=float), np.array(counts)
    penalty = np.full(design.shape[1], PENALTY)
    penalty[-1] = 1e-6
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS_MAX):
        chance = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (count * (outcome - chance)) - penalty * beta
        curvature = (design.T * (count * chance * (1 - chance))) @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        beta += step
        if float(np.abs(step).max()) < STEP_SMALL:
            break
    return float(beta[-1]), beta[:-1]


def train(data: Data) -> dict[str, Any]:
    """Fit the training half and give the document of parameters, its threshold still open.

    Splink asks for m and u of each level; only their ratio counts, and it is the fitted odds.
    """
    intercept, odds = fitted(*labelled_vectors(data))
    features: dict[str, dict[str, dict[str, float]]] = {}
    number = 0
    for feature in FEATURES:
        features[feature.name] = {}
        for level in feature.levels:
            m = 1 / (1 + math.exp(-float(odds[number])))
            features[feature.name][level.label] = {"m": round(m, 6), "u": round(1 - m, 6)}
            number += 1
    return {"prior": round(1 / (1 + math.exp(-intercept)), 6), "threshold": 0.5, "features": features}


def measure(
    found: Iterable[screening.Candidate], pairs: frozenset[Pair], which: int
) -> tuple[float, float, int, int]:
    """Give recall and precision on one half, and the right and wrong predictions behind them.

    Precision counts predictions that touch a labelled plant or project of that half.
    """
    wanted = {pair for pair in pairs if half(pair[0]) == which}
    lefts, rights = {left for left, _ in wanted}, {right for _, right in wanted}
    touching = [(c.left_id, c.right_id) for c in found if c.left_id in lefts or c.right_id in rights]
    right = sum(pair in wanted for pair in touching)
    return right / len(wanted), right / max(len(touching), 1), right, len(touching) - right


def joined(found: Iterable[screening.Candidate], lookalikes: frozenset[Pair], which: int) -> tuple[int, int]:
    """Give how many look-alikes of one half were joined, and how many there are."""
    wanted = {pair for pair in lookalikes if half(*pair) == which}
    return sum((one.left_id, one.right_id) in wanted for one in found), len(wanted)


def main() -> int:
    """Train, choose the threshold, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    data = load(arguments.data)
    document = train(data)
    parameters = parameters_from(document)
    runs = {
        "with positions": screening.score(data.plants, data.projects, parameters),
        "plant positions blanked": screening.score(without_positions(data.plants), data.projects, parameters),
    }
    alike = screening.score(data.lookalikes_a, data.lookalikes_b, parameters)
    best = (0.0, 0.5)
    for step in range(1, 100):
        threshold = step / 100
        worst = 1.0
        for found in runs.values():
            recall, precision, _, _ = measure(
                screening.one_to_one([c for c in found if c.probability >= threshold]), data.pairs, 0
            )
            worst = min(worst, recall, precision)
        count, total = joined([c for c in alike if c.probability >= threshold], data.lookalikes, 0)
        quality = worst - count / total
        if quality >= best[0]:
            best = (quality, threshold)
    document["threshold"] = best[1]
    print(f"threshold {best[1]}")
    for name, found in runs.items():
        kept = screening.one_to_one([c for c in found if c.probability >= best[1]])
        for which, title in ((0, "training half"), (1, "reporting half")):
            recall, precision, right, wrong = measure(kept, data.pairs, which)
            figures = f"recall {recall:.4f} precision {precision:.4f} ({right} right, {wrong} wrong)"
            print(f"{name}, {title}: {figures}")
    for which, title in ((0, "training half"), (1, "reporting half")):
        count, total = joined([c for c in alike if c.probability >= best[1]], data.lookalikes, which)
        print(f"look-alikes joined, {title}: {count} of {total} ({count / total:.2%})")
    if arguments.write:
        TARGET.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
