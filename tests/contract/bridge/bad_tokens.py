"""Bad requests of TokenService, and claims whose tokens are wrong, as data."""

from __future__ import annotations

from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2, tokens_pb2
from tanqiao.testing.network import SHENZHEN
from tanqiao.voprf import group
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.unchanged import API, READER, UNKNOWN_FIELD, period

TOKEN: Final = f"{API}TokenService/"
ELEMENT: Final = group.multiply_base((7).to_bytes(32, "little"))
KNOWN: Final = "310000:instalment:2"


def tokens(scheme: str = "vin", key_epoch: int = 1, count: int = 1, length: int = 32) -> claims_pb2.Pseudonym:
    """Give tokens for a claim of one month, unless something is changed."""
    return claims_pb2.Pseudonym(
        scheme=scheme, key_epoch=key_epoch, tokens=[bytes([place]) * length for place in range(count)]
    )


def named(*pseudonyms: claims_pb2.Pseudonym) -> dict[str, Any]:
    return {"asset__pseudonyms": list(pseudonyms)}


BAD_TOKENS_OF_CLAIMS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    *(
        (
            f"a {scheme} instead of its tokens",
            "PERSONAL_IDENTIFIER_SENT",
            {"asset__references__0__scheme": scheme},
        )
        for scheme in ("vin", "power_account", "resident_id", "phone")
    ),
    ("a token as a reference", "FIELD_INVALID", {"asset__references__0__scheme": "pseudonym"}),
    ("tokens of a thing that is no person's", "FIELD_INVALID", named(tokens(scheme="vcs"))),
    ("tokens of no epoch", "FIELD_INVALID", named(tokens(key_epoch=0))),
    ("tokens of an epoch to come", "TOKEN_EPOCH_CLOSED", named(tokens(key_epoch=9))),
    ("more tokens than buckets", "FIELD_INVALID", named(tokens(count=2))),
    ("no tokens", "FIELD_INVALID", named(tokens(count=0))),
    ("a short token", "FIELD_INVALID", named(tokens(length=31))),
    ("65 pseudonyms", "BATCH_TOO_LARGE", named(*[tokens()] * 65)),
    (
        "other identifiers under another epoch",
        "FIELD_INVALID",
        named(tokens(), tokens(scheme="phone", key_epoch=2)),
    ),
    (
        "a period of too many buckets",
        "FIELD_INVALID",
        {**named(tokens()), "period": period((1990, 1, 1), (2030, 1, 1))},
    ),
)


def evaluating(*elements: bytes, key_epoch: int = 1) -> Build:
    return plain(tokens_pb2.EvaluateElementsRequest(key_epoch=key_epoch, blinded_elements=elements))


def renewing(*pseudonyms: claims_pb2.Pseudonym, claim_id: str = KNOWN) -> Build:
    renewed = tokens_pb2.RenewedTokens(claim_id=claim_id, pseudonyms=pseudonyms)
    return plain(tokens_pb2.RenewTokensRequest(renewed=[renewed]))


BAD_TOKENS: Final[tuple[Case, ...]] = (
    Case(f"{TOKEN}EvaluateElements", "nothing", "BATCH_EMPTY", evaluating()),
    Case(f"{TOKEN}EvaluateElements", "1001 elements", "BATCH_TOO_LARGE", evaluating(*[ELEMENT] * 1001)),
    Case(f"{TOKEN}EvaluateElements", "a short element", "ELEMENT_INVALID", evaluating(ELEMENT[:-1])),
    Case(f"{TOKEN}EvaluateElements", "the identity", "ELEMENT_INVALID", evaluating(ELEMENT, bytes(32))),
    Case(f"{TOKEN}EvaluateElements", "no element", "ELEMENT_INVALID", evaluating(b"\xff" * 32)),
    Case(f"{TOKEN}EvaluateElements", "no epoch", "TOKEN_EPOCH_CLOSED", evaluating(ELEMENT, key_epoch=0)),
    Case(
        f"{TOKEN}EvaluateElements",
        "an epoch to come",
        "TOKEN_EPOCH_CLOSED",
        evaluating(ELEMENT, key_epoch=2**62),
    ),
    Case(f"{TOKEN}EvaluateElements", "by a reader", "CALLER_NOT_PERMITTED", evaluating(ELEMENT), READER),
    Case(f"{TOKEN}EvaluateElements", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(f"{TOKEN}GetTokenStatus", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(
        f"{TOKEN}GetTokenStatus",
        "by a gateway",
        "CALLER_NOT_PERMITTED",
        plain(tokens_pb2.GetTokenStatusRequest()),
        "gateway/gec",
    ),
    Case(
        f"{TOKEN}ListStaleClaims",
        "a negative page",
        "FIELD_INVALID",
        plain(tokens_pb2.ListStaleClaimsRequest(page_size=-1)),
    ),
    Case(
        f"{TOKEN}ListStaleClaims",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        plain(tokens_pb2.ListStaleClaimsRequest(page_token="%%%")),
    ),
    Case(f"{TOKEN}RenewTokens", "nothing", "BATCH_EMPTY", plain(tokens_pb2.RenewTokensRequest())),
    Case(
        f"{TOKEN}RenewTokens",
        "101 claims",
        "BATCH_TOO_LARGE",
        plain(tokens_pb2.RenewTokensRequest(renewed=[tokens_pb2.RenewedTokens()] * 101)),
    ),
    Case(f"{TOKEN}RenewTokens", "no claim", "FIELD_MISSING", renewing(tokens(), claim_id="")),
    Case(f"{TOKEN}RenewTokens", "an unknown claim", "CLAIM_UNKNOWN", renewing(tokens(), claim_id="x")),
    Case(
        f"{TOKEN}RenewTokens",
        "a claim twice",
        "FIELD_INVALID",
        plain(tokens_pb2.RenewTokensRequest(renewed=[tokens_pb2.RenewedTokens(claim_id=KNOWN)] * 2)),
    ),
    Case(
        f"{TOKEN}RenewTokens",
        "another region's claim",
        "REGION_SCOPE_MISMATCH",
        renewing(tokens()),
        SHENZHEN,
    ),
    Case(f"{TOKEN}RenewTokens", "an old epoch", "TOKEN_EPOCH_CLOSED", renewing(tokens(key_epoch=7))),
    Case(f"{TOKEN}RenewTokens", "of a claim that had none", "FIELD_INVALID", renewing(tokens())),
)
