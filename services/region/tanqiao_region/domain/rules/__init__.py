"""The rule engine: a pack's data and pure functions answer the facts of an act with a verdict.

The engine knows acts, object types and tables; it names no region. What a region's law says is in its pack.
"""

from tanqiao_region.domain.rules.definition import rule, structural
from tanqiao_region.domain.rules.pack import PackData, RulePack
from tanqiao_region.domain.rules.parameters import (
    DatedParameters,
    Parameters,
    ParameterValue,
    Provenance,
)
from tanqiao_region.domain.rules.verdicts import (
    Finding,
    Note,
    Outcomes,
    PackIdentity,
    Refusal,
    Verdict,
    note,
    refuse,
)

__all__ = [
    "DatedParameters",
    "Finding",
    "Note",
    "Outcomes",
    "PackData",
    "PackIdentity",
    "ParameterValue",
    "Parameters",
    "Provenance",
    "Refusal",
    "RulePack",
    "Verdict",
    "note",
    "refuse",
    "rule",
    "structural",
]
