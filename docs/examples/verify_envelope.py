"""Check one signed message: python verify_envelope.py ENVELOPE.json PUBLIC_KEY_BASE64.

ENVELOPE.json is an Envelope or an EnvelopeBatch as gRPC tools print it; the key is `publicKey` of ListKeys.
Exit code 0: the signature holds, message hashes are printed. 1: it does not. Needs `cryptography` only.
"""  # noqa: INP001 - a script that stands alone

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BATCH_TYPE, SUITE_ED25519 = "application/vnd.tanqiao.batch.v1", b"\x01"


def pae(kind: str, payload: bytes) -> bytes:
    """DSSE v1: lengths in bytes, so that no two messages give the same bytes."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)


def sha256(data: bytes) -> bytes:
    """Give the 32 bytes of the hash."""
    return hashlib.sha256(data).digest()


def root_of_all(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1: an odd last node moves up as it is."""
    level = [sha256(b"\0" + one) for one in hashes]
    while len(level) > 1:
        pairs = [sha256(b"\1" + level[at] + level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) // 2 * 2 :]
    return level[0]


def root_of_path(message_hash: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2; a path of another length gives a root that nobody signed."""
    node, last = sha256(b"\0" + message_hash), size - 1
    if not 0 <= index < size:
        return b""
    for sibling in path:
        if index % 2 or index == last:
            node = sha256(b"\1" + sibling + node)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling)
        index, last = index >> 1, last >> 1
    return node if last == 0 else b""


def verify(sent: dict, public_key: bytes) -> list[bytes]:
    """Give the message hashes, one for each payload; raises InvalidSignature or ValueError."""
    kind, signature, proof = sent["payloadType"], sent["signatures"][0], sent.get("batchProof")
    payloads = [base64.b64decode(one) for one in sent.get("payloads") or [sent["payload"]]]
    if base64.b64decode(signature["keyId"]) != sha256(SUITE_ED25519 + public_key)[:16]:
        raise ValueError("another key signed")
    hashes = [sha256(pae(kind, payload)) for payload in payloads]
    signed = pae(kind, payloads[0])
    if proof or "payloads" in sent:
        size, index = (proof["size"], proof.get("index", 0)) if proof else (len(hashes), 0)
        path = [base64.b64decode(one) for one in (proof or {}).get("path", [])]
        root = root_of_path(hashes[0], index, size, path) if proof else root_of_all(hashes)
        signed = pae(BATCH_TYPE, b"tanqiao-batch-v1\0" + size.to_bytes(8, "big") + root)
    Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signature["signature"]), signed)
    return hashes


if __name__ == "__main__":
    try:
        found = verify(json.loads(Path(sys.argv[1]).read_text("utf-8")), base64.b64decode(sys.argv[2]))
    except (InvalidSignature, ValueError, LookupError, TypeError, OverflowError) as error:
        sys.exit(f"not verified: {type(error).__name__} {error}")
    sys.stdout.writelines(f"verified {one.hex()}\n" for one in found)
