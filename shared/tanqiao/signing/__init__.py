"""Envelopes, suites, key records and certificates (PROTOCOL section 2).

Bytes are signed, carried, verified and only then parsed; a refusal is a `DomainError` of the catalogue and
nothing else leaves a verifier. The promise ends at the inbox: whether a message was seen before is for the
caller to know.
"""

from __future__ import annotations

from tanqiao.signing.batch import (
    BATCH_ITEMS_MAX,
    batch_hashes,
    item_envelope,
    item_envelopes,
    sign_batch,
)
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.envelope import Signer, add_signature, build_header, sign_envelope
from tanqiao.signing.federation import Federation, authority_of, open_key_record
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.pae import message_hash, message_hashes, pae
from tanqiao.signing.parties import Party, parse_party, party_matches
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import (
    AllowedMessage,
    Limits,
    Opened,
    Verifier,
    allow,
    require_signers,
    verify_signatures,
)

__all__ = [
    "BATCH_ITEMS_MAX",
    "PAYLOAD_TYPES",
    "AllowedMessage",
    "Federation",
    "KeyDirectory",
    "KeyEntry",
    "KeyRole",
    "Keyring",
    "Limits",
    "Opened",
    "Party",
    "Signer",
    "Verifier",
    "add_signature",
    "allow",
    "authority_of",
    "batch_hashes",
    "build_header",
    "item_envelope",
    "item_envelopes",
    "message_hash",
    "message_hashes",
    "open_key_record",
    "pae",
    "parse_party",
    "parse_strict",
    "party_matches",
    "payload_type_of",
    "require_signers",
    "sign_batch",
    "sign_envelope",
    "verify_signatures",
]
