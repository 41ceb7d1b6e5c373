"""What a region makes of identifiers, and what it believes of the bridge's evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.kernel import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.suites import SuiteId
from tanqiao.voprf import group
from tanqiao.voprf.functions import KeyPair, derive_key_pair, evaluate
from tanqiao.voprf.proofs import prove
from tanqiao_region.application.tokens import TokenBook, TokensNeededError
from tests.contract.tokens.invented import ACCOUNT, OTHER_VIN, RESIDENT, VIN, claim_of

PAIRS = {epoch: derive_key_pair(bytes(32), bytes([epoch])) for epoch in (1, 2)}
TWO_MONTHS = ("2026-01-01", "2026-03-01")


def directory(*epochs: int) -> KeyDirectory:
    return KeyDirectory.of(
        KeyEntry("bridge", KeyRole.TOKEN, SuiteId.RISTRETTO255_SHA512, PAIRS[epoch].public_key, epoch)
        for epoch in epochs
    )


class Bridge:
    """Evaluates as the bridge does; `how` says in what it lies."""

    def __init__(self, how: str = "") -> None:
        self.how = how
        self.asked: list[int] = []

    def evaluate(self, key_epoch: int, blinded_elements: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        self.asked.append(len(blinded_elements))
        key = PAIRS[key_epoch] if self.how != "another key" else KeyPair.of(group.random_scalar())
        evaluated = [evaluate(key, element) for element in blinded_elements]
        if self.how == "the identity":
            evaluated[0] = bytes(32)
        if self.how == "fewer":
            evaluated.pop()
        if self.how == "one with another key":
            evaluated[0] = evaluate(KeyPair.of(group.random_scalar()), blinded_elements[0])
        proof = prove(key, blinded_elements[: len(evaluated)], evaluated, group.random_scalar())
        return evaluated, b"" if self.how == "no proof" else proof


def book(bridge: Bridge, *epochs: int, pepper: bytes = bytes(32)) -> TokenBook:
    return TokenBook(lambda: pepper, lambda: directory(*(epochs or (1,))), bridge)


def test_every_identifier_gets_a_token_for_each_bucket_and_epoch_and_is_asked_for_once() -> None:
    bridge = Bridge()
    tokens = book(bridge, 1, 2)
    claim = claim_of("310000:instalment:1", ("vin", VIN), ("resident_id", RESIDENT), period=TWO_MONTHS)
    with pytest.raises(TokensNeededError) as needed:
        tokens.known(claim)
    assert needed.value.claim == claim
    leaving = tokens.made(claim)
    assert [(one.key_epoch, one.scheme, len(one.tokens)) for one in leaving.asset.pseudonyms] == [
        (1, "resident_id", 2),
        (1, "vin", 2),
        (2, "resident_id", 2),
        (2, "vin", 2),
    ]
    every = [token for one in leaving.asset.pseudonyms for token in one.tokens]
    assert len(set(every)) == 8
    assert {len(token) for token in every} == {32}
    assert (leaving.asset.name, list(leaving.asset.references)) == ("", [])
    assert tokens.known(claim) == tokens.made(claim) == leaving
    assert bridge.asked == [4, 4]


def test_what_names_no_person_leaves_as_it_is() -> None:
    bridge = Bridge()
    claim = claim_of("310000:instalment:1", ("gec_filing_code", "99310000000000701"))
    assert book(bridge).made(claim) is claim
    assert bridge.asked == []


def test_identifiers_peppers_families_and_buckets_make_other_tokens() -> None:
    def tokens_of(claim: claims_pb2.Claim, pepper: bytes = bytes(32)) -> tuple[bytes, ...]:
        return tuple(book(Bridge(), pepper=pepper).made(claim).asset.pseudonyms[0].tokens)

    base = tokens_of(claim_of("310000:instalment:1", ("vin", VIN)))
    assert base == tokens_of(claim_of("440300:instalment:9", ("VIN", f" {VIN.lower()}")))
    others = [
        tokens_of(claim_of("310000:instalment:1", ("vin", VIN)), pepper=b"\x01" * 32),
        tokens_of(claim_of("310000:instalment:1", ("vin", OTHER_VIN))),
        tokens_of(claim_of("310000:instalment:1", ("vin", VIN), period=("2026-02-01", "2026-03-01"))),
        tokens_of(claim_of("310000:instalment:1", ("vin", VIN), attribute=claims_pb2.ATTRIBUTE_RE_GEN)),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize(
    ("how", "symbol"),
    [
        ("another key", "EVALUATION_PROOF_INVALID"),
        ("one with another key", "EVALUATION_PROOF_INVALID"),
        ("no proof", "EVALUATION_PROOF_INVALID"),
        ("fewer", "EVALUATION_PROOF_INVALID"),
        ("the identity", "ELEMENT_INVALID"),
    ],
)
def test_no_evaluation_is_believed_without_its_proof(how: str, symbol: str) -> None:
    tokens = book(Bridge(how))
    claim = claim_of("310000:instalment:1", ("vin", VIN), period=TWO_MONTHS)
    with pytest.raises(DomainError) as refusal:
        tokens.made(claim)
    assert refusal.value.symbol == symbol
    with pytest.raises(TokensNeededError):
        tokens.known(claim)  # nothing of it was kept


@pytest.mark.parametrize(
    ("scheme", "value", "symbol"),
    [
        ("vin", VIN[:-1] + "7", "IDENTITY_CODE_INVALID"),
        ("resident_id", RESIDENT[:-1], "IDENTITY_CODE_INVALID"),
        ("phone", "021-12345678", "FIELD_INVALID"),
        ("power_account", ACCOUNT.partition(":")[2], "FIELD_INVALID"),
        ("power_account", " ", "FIELD_INVALID"),
        ("phone", "1" * 65, "FIELD_INVALID"),
    ],
)
def test_an_identifier_that_is_none_is_refused_and_not_repeated(scheme: str, value: str, symbol: str) -> None:
    with pytest.raises(DomainError) as refusal:
        book(Bridge()).made(claim_of("310000:instalment:1", (scheme, value)))
    assert refusal.value.symbol == symbol
    assert value.strip() == "" or value not in str(refusal.value)


def test_without_a_published_key_a_claim_on_a_person_waits() -> None:
    tokens = TokenBook(lambda: bytes(32), KeyDirectory, Bridge())
    with pytest.raises(DomainError) as refusal:
        tokens.made(claim_of("310000:instalment:1", ("vin", VIN)))
    assert refusal.value.symbol == "NOT_FOUND"
