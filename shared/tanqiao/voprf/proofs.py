"""One proof for a batch that every element was evaluated with the published key (RFC 9497 section 2.2).

It shows that the discrete logarithms of public key and of all evaluated elements are equal; the elements of
the batch are first folded into two with weights that hang on all of them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from tanqiao.kernel.errors import DomainError, require
from tanqiao.voprf import group
from tanqiao.voprf.functions import VOPRF_CONTEXT, KeyPair, hash_to_scalar, length_prefixed

PROOF_LENGTH: Final = 2 * group.SCALAR_LENGTH
ELEMENTS_MAX: Final = 2**16 - 1
"""Most elements under one proof: their places are written in two bytes."""


def prove(
    key: KeyPair,
    blinded_elements: Sequence[bytes],
    evaluated_elements: Sequence[bytes],
    proof_scalar: bytes,
    context: bytes = VOPRF_CONTEXT,
) -> bytes:
    """Give the proof of 64 bytes for a batch that was evaluated with the key.

    Args:
        key: the key that was used.
        blinded_elements: as received and checked, at least one.
        evaluated_elements: what was made of them, in the same order.
        proof_scalar: drawn anew for each proof; whoever learns it learns the key.
        context: of the mode.
    """
    group.check_secret_scalar(proof_scalar, "proof_scalar")
    folded = _fold(_weights(key.public_key, blinded_elements, evaluated_elements, context), blinded_elements)
    challenge = _challenge(
        key.public_key,
        folded,
        group.multiply(key.secret_key, folded),
        group.multiply_base(proof_scalar),
        group.multiply(proof_scalar, folded),
        context,
    )
    response = group.subtract_scalars(proof_scalar, group.multiply_scalars(challenge, key.secret_key))
    return challenge + response


def verify(
    public_key: bytes,
    blinded_elements: Sequence[bytes],
    evaluated_elements: Sequence[bytes],
    proof: bytes,
    context: bytes = VOPRF_CONTEXT,
) -> None:
    """Demand that a batch was evaluated with the key whose public half is known.

    Args:
        public_key: 32 bytes, as published.
        blinded_elements: as they were sent.
        evaluated_elements: as they came back, in the same order.
        proof: 64 bytes.
        context: of the mode.

    Raises:
        DomainError: ELEMENT_INVALID for an element that is none; EVALUATION_PROOF_INVALID for a number of
            elements that differs, and for a proof that does not hold.
    """
    if not 0 < len(blinded_elements) == len(evaluated_elements) <= ELEMENTS_MAX:
        raise DomainError("EVALUATION_PROOF_INVALID", field="evaluated_elements")
    group.check_element(public_key, "public_key")
    for element in blinded_elements:
        group.check_element(element, "blinded_elements")
    for element in evaluated_elements:
        group.check_element(element, "evaluated_elements")
    challenge, response = proof[: group.SCALAR_LENGTH], proof[group.SCALAR_LENGTH :]
    if not (group.is_scalar(challenge) and group.is_scalar(response)):
        raise DomainError("EVALUATION_PROOF_INVALID", field="proof")
    weights = _weights(public_key, blinded_elements, evaluated_elements, context)
    folded, folded_evaluated = _fold(weights, blinded_elements), _fold(weights, evaluated_elements)
    expected = _challenge(
        public_key,
        folded,
        folded_evaluated,
        group.add(group.multiply_base(response), group.multiply(challenge, public_key)),
        group.add(group.multiply(response, folded), group.multiply(challenge, folded_evaluated)),
        context,
    )
    if not hmac.compare_digest(expected, challenge):
        raise DomainError("EVALUATION_PROOF_INVALID", field="proof")


def _weights(
    public_key: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], context: bytes
) -> list[bytes]:
    require(0 < len(blinded) == len(evaluated) <= ELEMENTS_MAX, "a batch has as many elements out as in")
    seed_message = length_prefixed(public_key) + length_prefixed(b"Seed-" + context)
    seed = length_prefixed(hashlib.sha512(seed_message).digest())
    return [
        hash_to_scalar(
            seed + place.to_bytes(2, "big") + length_prefixed(first) + length_prefixed(second) + b"Composite",
            context,
        )
        for place, (first, second) in enumerate(zip(blinded, evaluated, strict=True))
    ]


def _fold(weights: Sequence[bytes], elements: Sequence[bytes]) -> bytes:
    total = group.IDENTITY
    for weight, element in zip(weights, elements, strict=True):
        total = group.add(total, group.multiply(weight, element))
    return total


def _challenge(
    public_key: bytes,
    folded: bytes,
    folded_evaluated: bytes,
    from_base: bytes,
    from_folded: bytes,
    context: bytes,
) -> bytes:
    parts = (public_key, folded, folded_evaluated, from_base, from_folded)
    return hash_to_scalar(b"".join(map(length_prefixed, parts)) + b"Challenge", context)
