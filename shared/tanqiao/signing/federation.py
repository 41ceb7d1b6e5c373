"""`federation.json`: the network's name, its trust anchors, and the first key records signed by them.

Trust anchors are the root public keys of the authorities, by owner. Everything else in the file is proven by
them: a key record counts only where the root of its owner's authority has signed it. The bridge's log carries
later ones.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.certificates import require_network_id
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.parties import BRIDGE, Party, parse_party
from tanqiao.signing.suites import SuiteId
from tanqiao.signing.verify import Verifier, allow

FEDERATION_NAME: Final = "federation.json"
FILE_BYTES_MAX: Final = 8 << 20
FORMAT: Final = "tanqiao-federation-v1"


def authority_of(owner: str) -> str:
    """Give the authority whose root vouches for a party's keys.

    A region's is its own; the bridge, gateways and witnesses stand under the bridge's; an authority vouches
    for its own approvers.
    """
    party = parse_party(owner, field="owner")
    if party.kind == "authority":
        return party.path
    return f"authority/{party.region_code or BRIDGE}"


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """The offline root of an authority."""

    owner: str
    suite: int
    public_key: bytes
    epoch: int = 1

    @property
    def entry(self) -> KeyEntry:
        """Entry of the root in a key directory: valid at every index."""
        return KeyEntry(self.owner, KeyRole.ROOT, self.suite, self.public_key, self.epoch)


@dataclass(frozen=True, slots=True)
class WitnessGroup:
    """Who cosigns the bridge's log, and how many of them make a decision final (PROTOCOL section 8).

    Args:
        witnesses: parties with a witness key: ``region/310000``, ``witness/regulator``.
        quorum: more than half of them and never all; 0 with no witnesses: COMMIT alone is final.

    Raises:
        DomainError: SETTING_INVALID for a quorum that half could reach or that all must.
    """

    witnesses: tuple[str, ...] = ()
    quorum: int = 0

    def __post_init__(self) -> None:
        """Refuse a group that could be final twice, or that one silent witness could hold up."""
        count = len(self.witnesses)
        sound = count < 2 * self.quorum < 2 * count if self.witnesses else self.quorum == 0
        if not sound or len(set(self.witnesses)) != count:
            detail = f"{self.quorum} of {count}: more than half are needed and never all"
            raise DomainError("SETTING_INVALID", setting="witness_group", detail=detail)
        for witness in self.witnesses:
            parse_party(witness, field="witness_group")


NO_WITNESSES: Final = WitnessGroup()


@dataclass(frozen=True, slots=True)
class Federation:
    """What a node knows of its network before it has spoken to anybody.

    Args:
        network_id: name of the network; it begins with ``test-`` where a test clock is allowed.
        anchors: roots of the authorities.
        key_records: envelopes of the first key records, each signed by a root.
        witness_group: the first witnesses; without any, COMMIT alone is final.
    """

    network_id: str
    anchors: tuple[TrustAnchor, ...]
    key_records: tuple[envelope_pb2.Envelope, ...]
    witness_group: WitnessGroup = NO_WITNESSES
    _verified: list[KeyDirectory] = field(default_factory=list, init=False, repr=False, compare=False)

    def directory(self) -> KeyDirectory:
        """Give the directory of the anchors and of every key record, each verified once.

        Raises:
            DomainError: the reason for which the first record is refused.
        """
        if not self._verified:
            self._verified.append(self._verify())
        return self._verified[0]

    def _verify(self) -> KeyDirectory:
        roots = KeyDirectory.of(anchor.entry for anchor in self.anchors)
        verifier = Verifier(self.network_id, BRIDGE)
        records = [open_key_record(verifier, envelope, roots, at_index=0) for envelope in self.key_records]
        return roots.with_records(records)

    @staticmethod
    def load(path: Path) -> Federation:
        """Read the file; its records are verified by `directory`.

        Raises:
            DomainError: FILE_MISSING, FILE_TOO_LARGE, SETTING_INVALID.
        """
        try:
            size = path.stat().st_size
            if size > FILE_BYTES_MAX:
                raise DomainError("FILE_TOO_LARGE", file=path, size=size, limit=FILE_BYTES_MAX)
            data = path.read_bytes()
        except OSError as error:
            raise DomainError("FILE_MISSING", file=path) from error
        try:
            return _read(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, DecodeError, DomainError) as error:
            raise DomainError(
                "SETTING_INVALID", setting=FEDERATION_NAME, detail=f"{path} is not a federation file"
            ) from error

    def dump(self) -> bytes:
        """Give the file's bytes; the same federation gives the same bytes."""
        anchors = [
            {
                "owner": anchor.owner,
                "suite": SuiteId(anchor.suite).name.lower(),
                "public_key": anchor.public_key.hex(),
                "epoch": anchor.epoch,
            }
            for anchor in self.anchors
        ]
        records = [base64.b64encode(record.SerializeToString()).decode() for record in self.key_records]
        document: dict[str, Any] = {
            "format": FORMAT,
            "network_id": self.network_id,
            "trust_anchors": anchors,
            "key_records": records,
        }
        if self.witness_group.witnesses:
            document["witness_group"] = {
                "witnesses": list(self.witness_group.witnesses),
                "quorum": self.witness_group.quorum,
            }
        return (json.dumps(document, indent=2) + "\n").encode()

    @property
    def authorities(self) -> tuple[Party, ...]:
        """Authorities that have an anchor, in order."""
        return tuple(parse_party(anchor.owner) for anchor in self.anchors)


def open_key_record(
    verifier: Verifier, envelope: envelope_pb2.Envelope, directory: KeyDirectory, *, at_index: int
) -> messages_pb2.KeyRecord:
    """Open a key record addressed to the bridge; its signer must be the root that vouches for the owner.

    Raises:
        DomainError: what `Verifier.open_envelope` raises, and SENDER_MISMATCH for a root of another
            authority.
    """
    opened = verifier.open_envelope(
        envelope,
        directory,
        allowed=KEY_RECORD_ALLOWED,
        peer=None,
        at_index=at_index,
    )
    record = opened.message
    if not isinstance(record, messages_pb2.KeyRecord):  # the table allows no other
        raise DomainError("MESSAGE_MALFORMED", detail="not a key record")
    KeyEntry.of_record(record)
    if opened.header.sender != authority_of(record.owner):
        raise DomainError("SENDER_MISMATCH", sender=authority_of(record.owner), owner=opened.header.sender)
    return record


KEY_RECORD_ALLOWED: Final = allow(
    messages_pb2.KeyRecord, senders=("authority/*",), role=KeyRole.ROOT, audience=BRIDGE
)


def _read(document: Mapping[str, Any]) -> Federation:
    if document["format"] != FORMAT:
        raise ValueError("another format")
    anchors: Sequence[Mapping[str, Any]] = document["trust_anchors"]
    try:
        records = tuple(
            envelope_pb2.Envelope.FromString(base64.b64decode(record, validate=True))
            for record in document["key_records"]
        )
    except binascii.Error as error:
        raise ValueError("not base64") from error
    group = document.get("witness_group")
    return Federation(
        require_network_id(document["network_id"]),
        tuple(_read_anchor(row) for row in anchors),
        records,
        WitnessGroup(tuple(group["witnesses"]), int(group["quorum"])) if group else NO_WITNESSES,
    )


def _read_anchor(row: Mapping[str, Any]) -> TrustAnchor:
    anchor = TrustAnchor(
        parse_party(row["owner"]).path,
        SuiteId[row["suite"].upper()],
        bytes.fromhex(row["public_key"]),
        int(row["epoch"]),
    )
    if not anchor.owner.startswith("authority/"):
        raise ValueError("a trust anchor belongs to an authority")
    _ = anchor.entry  # bytes that are no key are refused here
    return anchor
