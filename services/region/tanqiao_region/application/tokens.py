"""Tokens of the persons, households and vehicles that this region's claims name (CLAIMS section 6).

An identifier stays here. What leaves is its hash under the regions' pepper, blinded, so that the bridge sees
an element that is uniform whatever the identifier was; what comes back is believed only with the proof that
the published key made it. Tokens are kept in memory under that hash, and nowhere else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.keys import Strength, canonical_scheme, strength_of
from tanqiao.claims.matrix import bucket_grain
from tanqiao.claims.model import Attribute
from tanqiao.claims.personal import (
    FAMILIES,
    PERSONAL_SCHEMES,
    buckets_of,
    canonical_identifier,
    private_input,
    token_of,
)
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import parse_wire_period
from tanqiao.signing.directory import KeyDirectory, KeyEntry
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.token_keys import live_epochs
from tanqiao.voprf import group
from tanqiao.voprf.functions import blind, finalize
from tanqiao.voprf.proofs import verify

ELEMENTS_PER_CALL_MAX: Final = 1_000
"""The bridge's own bound of a batch."""
TOKENS_KEPT_MAX: Final = 100_000


class TokensNeededError(DomainError):
    """A claim is to be signed whose tokens have not been made: make them outside of the transaction.

    Args:
        claim: as the register states it, with the identifiers.
    """

    def __init__(self, claim: claims_pb2.Claim) -> None:
        super().__init__("TOKENS_MISSING", claim_id=claim.claim_id, epochs="–")
        self.claim = claim


class Evaluator(Protocol):
    """The bridge as it is asked for tokens."""

    def evaluate(self, key_epoch: int, blinded_elements: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        """Have elements evaluated under a key: (evaluated elements, proof).

        Raises:
            DomainError: QUOTA_EXCEEDED, TOKEN_EPOCH_CLOSED, PEER_UNREACHABLE, …
        """
        ...  # pragma: no cover - a protocol has no body


@dataclass(frozen=True, slots=True)
class _Named:
    """One identifier of a claim with the private input of each of its buckets."""

    scheme: str
    inputs: tuple[bytes, ...]


def is_personal(claim: claims_pb2.Claim) -> bool:
    """Whether a claim names a person, household or vehicle by an identifier."""
    return any(canonical_scheme(one.scheme) in PERSONAL_SCHEMES for one in claim.asset.references)


class TokenBook:
    """Makes and keeps the tokens of one region.

    Args:
        pepper: reads the regions' common secret; asked when the first identifier comes.
        keys: gives the key directory.
        bridge: what evaluates.
        random_scalar: draws a blind.
    """

    def __init__(
        self,
        pepper: Callable[[], bytes],
        keys: Callable[[], KeyDirectory],
        bridge: Evaluator,
        random_scalar: Callable[[], bytes] = group.random_scalar,
    ) -> None:
        self._pepper = pepper
        self._keys = keys
        self._bridge = bridge
        self._random_scalar = random_scalar
        self._tokens: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def epochs(self) -> tuple[KeyEntry, ...]:
        """Give the keys under which a claim is found, oldest epoch first.

        Raises:
            DomainError: NOT_FOUND, where the bridge has published none.
        """
        epochs = live_epochs(self._keys())
        if not epochs:
            raise DomainError("NOT_FOUND", what="token key", id=BRIDGE)
        return epochs

    def known(self, claim: claims_pb2.Claim) -> claims_pb2.Claim:
        """Give a claim as it may leave the region, from tokens that were made before.

        Raises:
            TokensNeededError: some were not.
            DomainError: as `made`.
        """
        return self._leaving(claim, self.epochs()) if is_personal(claim) else claim

    def made(self, claim: claims_pb2.Claim) -> claims_pb2.Claim:
        """Give a claim as it may leave the region; what is lacking is asked of the bridge.

        Raises:
            DomainError: IDENTITY_CODE_INVALID, FIELD_INVALID for an identifier; FILE_MISSING without pepper;
                EVALUATION_PROOF_INVALID, ELEMENT_INVALID for an answer that is not believed; what the bridge
                refuses.
        """
        if not is_personal(claim):
            return claim
        epochs = self.epochs()
        self._make(epochs, self._named(claim))
        return self._leaving(claim, epochs)

    def renewed(self, claim: claims_pb2.Claim, entry: KeyEntry) -> list[claims_pb2.Pseudonym]:
        """Give the tokens of a claim under one key."""
        named = self._named(claim)
        self._make([entry], named)
        return list(self._pseudonyms(claim, [entry], named))

    # -- what leaves

    def _leaving(self, claim: claims_pb2.Claim, epochs: Sequence[KeyEntry]) -> claims_pb2.Claim:
        pseudonyms = list(self._pseudonyms(claim, epochs, self._named(claim)))
        leaving = claims_pb2.Claim()
        leaving.CopyFrom(claim)
        # Names and addresses decide nothing, and beside a household they are the household's.
        kept = [one for one in claim.asset.references if _may_leave(canonical_scheme(one.scheme))]
        del leaving.asset.references[:]
        leaving.asset.references.extend(kept)
        leaving.asset.ClearField("name")
        leaving.asset.pseudonyms.extend(pseudonyms)
        return leaving

    def _pseudonyms(
        self, claim: claims_pb2.Claim, epochs: Iterable[KeyEntry], named: Sequence[_Named]
    ) -> Iterator[claims_pb2.Pseudonym]:
        for entry in epochs:
            for one in named:
                tokens = [self._tokens.get((entry.key_id, value)) for value in one.inputs]
                if None in tokens:
                    raise TokensNeededError(claim)
                yield claims_pb2.Pseudonym(
                    scheme=one.scheme, key_epoch=entry.epoch, tokens=[token for token in tokens if token]
                )

    def _named(self, claim: claims_pb2.Claim) -> list[_Named]:
        attribute = Attribute(claims_pb2.Attribute.Name(claim.attribute).removeprefix("ATTRIBUTE_"))
        period = parse_wire_period(claim.period, "claim.period")
        buckets = buckets_of(period, bucket_grain(attribute, period.start))
        identifiers = {
            (scheme, canonical_identifier(scheme, one.value))
            for one in claim.asset.references
            if (scheme := canonical_scheme(one.scheme)) in PERSONAL_SCHEMES
        }
        pepper = self._pepper()
        family = FAMILIES[attribute]
        # In one order, for a renewal must name the same identifiers in the same places.
        return [
            _Named(
                scheme,
                tuple(private_input(pepper, scheme, value, family, bucket) for bucket in buckets),
            )
            for scheme, value in sorted(identifiers)
        ]

    # -- what is made

    def _make(self, epochs: Iterable[KeyEntry], named: Sequence[_Named]) -> None:
        inputs = list(dict.fromkeys(value for one in named for value in one.inputs))
        for entry in epochs:
            with self._lock:
                lacking = [value for value in inputs if (entry.key_id, value) not in self._tokens]
            for at in range(0, len(lacking), ELEMENTS_PER_CALL_MAX):
                part = lacking[at : at + ELEMENTS_PER_CALL_MAX]
                self._keep(entry, part, self._evaluated(entry, part))

    def _evaluated(self, entry: KeyEntry, inputs: Sequence[bytes]) -> list[bytes]:
        blinds = [self._random_scalar() for _ in inputs]
        blinded = [blind(value, scalar) for value, scalar in zip(inputs, blinds, strict=True)]
        evaluated, proof = self._bridge.evaluate(entry.epoch, blinded)
        verify(entry.public_key, blinded, evaluated, proof)
        return [
            token_of(finalize(value, scalar, element))
            for value, scalar, element in zip(inputs, blinds, evaluated, strict=True)
        ]

    def _keep(self, entry: KeyEntry, inputs: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        with self._lock:
            for value, token in zip(inputs, tokens, strict=True):
                self._tokens[entry.key_id, value] = token
            while len(self._tokens) > TOKENS_KEPT_MAX:
                self._tokens.popitem(last=False)


def _may_leave(scheme: str) -> bool:
    return scheme not in PERSONAL_SCHEMES and strength_of(scheme) >= Strength.OTHER_REGISTRY
