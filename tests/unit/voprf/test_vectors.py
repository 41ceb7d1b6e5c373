"""Every vector of RFC 9497 appendix A for ristretto255-SHA512.

Mode POPRF is not used by the product; its vectors still prove the group, the hashes and the batched proof,
with the few steps of that mode written here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tanqiao.voprf import group
from tanqiao.voprf.functions import (
    OPRF_CONTEXT,
    VOPRF_CONTEXT,
    KeyPair,
    blind,
    context_of,
    derive_key_pair,
    evaluate,
    evaluate_input,
    finalize,
    hash_to_scalar,
    length_prefixed,
)
from tanqiao.voprf.proofs import prove, verify

FILE = Path(__file__).resolve().parents[2] / "golden/voprf/rfc9497_ristretto255.json"
MODES: dict[str, dict[str, Any]] = {
    mode["Mode"]: mode for mode in json.loads(FILE.read_text(encoding="utf-8"))["modes"]
}
POPRF_CONTEXT = context_of(2)


def parts(text: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in text.split(",")]


def vectors(name: str) -> list[Any]:
    return [
        pytest.param(vector, id=f"{name}-{place}") for place, vector in enumerate(MODES[name]["vectors"], 1)
    ]


@pytest.mark.parametrize("name", MODES)
def test_the_key_pair_is_derived_from_the_seed(name: str) -> None:
    mode = MODES[name]
    context = {"OPRF": OPRF_CONTEXT, "VOPRF": VOPRF_CONTEXT, "POPRF": POPRF_CONTEXT}[name]
    key = derive_key_pair(bytes.fromhex(mode["Seed"]), bytes.fromhex(mode["KeyInfo"]), context)
    assert key.secret_key.hex() == mode["skSm"]
    assert key.public_key.hex() == mode.get("pkSm", key.public_key.hex())
    assert key.secret_key.hex() not in repr(key)


def test_no_vector_was_lost() -> None:
    assert {name: len(mode["vectors"]) for name, mode in MODES.items()} == {"OPRF": 2, "VOPRF": 3, "POPRF": 3}


@pytest.mark.parametrize("vector", [*vectors("OPRF"), *vectors("VOPRF")])
def test_blinding_evaluation_and_output(vector: dict[str, str], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id.partition("-")[0]
    context = OPRF_CONTEXT if name == "OPRF" else VOPRF_CONTEXT
    key = KeyPair.of(bytes.fromhex(MODES[name]["skSm"]))
    inputs, blinds = parts(vector["Input"]), parts(vector["Blind"])
    blinded = [blind(one, scalar, context) for one, scalar in zip(inputs, blinds, strict=True)]
    assert blinded == parts(vector["BlindedElement"])
    evaluated = [evaluate(key, element) for element in blinded]
    assert evaluated == parts(vector["EvaluationElement"])
    outputs = [finalize(*one) for one in zip(inputs, blinds, evaluated, strict=True)]
    assert outputs == parts(vector["Output"])
    assert outputs == [evaluate_input(key, one, context) for one in inputs]


@pytest.mark.parametrize("vector", vectors("VOPRF"))
def test_the_batched_proof(vector: dict[str, str]) -> None:
    key = KeyPair.of(bytes.fromhex(MODES["VOPRF"]["skSm"]))
    blinded, evaluated = parts(vector["BlindedElement"]), parts(vector["EvaluationElement"])
    proof = prove(key, blinded, evaluated, bytes.fromhex(vector["ProofRandomScalar"]))
    assert proof.hex() == vector["Proof"]
    verify(bytes.fromhex(MODES["VOPRF"]["pkSm"]), blinded, evaluated, proof)


@pytest.mark.parametrize("vector", vectors("POPRF"))
def test_the_third_modes_vectors_prove_the_same_group_hashes_and_proofs(vector: dict[str, str]) -> None:
    mode, info = MODES["POPRF"], bytes.fromhex(vector["Info"])
    secret = int.from_bytes(bytes.fromhex(mode["skSm"]), "little")
    tweak = int.from_bytes(
        hash_to_scalar(b"Info" + length_prefixed(info), POPRF_CONTEXT),
        "little",
    )
    tweaked = KeyPair.of(((secret + tweak) % group.ORDER).to_bytes(32, "little"))
    inputs, blinds = parts(vector["Input"]), parts(vector["Blind"])
    blinded = [blind(one, scalar, POPRF_CONTEXT) for one, scalar in zip(inputs, blinds, strict=True)]
    assert blinded == parts(vector["BlindedElement"])
    inverse = group.invert_scalar(tweaked.secret_key)
    evaluated = [group.multiply(inverse, element) for element in blinded]
    assert evaluated == parts(vector["EvaluationElement"])
    # Here the evaluated element times the key is the blinded one.
    proof = prove(
        tweaked, evaluated, blinded, bytes.fromhex(vector["ProofRandomScalar"]), context=POPRF_CONTEXT
    )
    assert proof.hex() == vector["Proof"]
    verify(tweaked.public_key, evaluated, blinded, proof, POPRF_CONTEXT)
    for one, scalar, element, output in zip(inputs, blinds, evaluated, parts(vector["Output"]), strict=True):
        unblinded = group.multiply(group.invert_scalar(scalar), element)
        message = length_prefixed(one) + length_prefixed(info) + length_prefixed(unblinded) + b"Finalize"
        assert hashlib.sha512(message).digest() == output
