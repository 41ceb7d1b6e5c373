"""Opening what a peer sent, in the order of checks of PROTOCOL section 2.

1 size · 2 key known · 3 signature · 4 parse those same bytes · 5 no unknown field or enum value · 6 key owner
is the header's sender, the role fits, the epoch matches, the key is valid at the log index · 7 the sender is
the TLS peer (or the envelope is embedded) · 8 network, audience, type allowed for this sender. The inbox (9)
is the caller's.

Nothing is parsed before its signature holds, nothing is encoded again to verify it, and only `DomainError`
leaves.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError, require
from tanqiao.kernel.record import record
from tanqiao.signing.batch import BATCH_ITEMS_MAX, signed_bytes
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.merkle import KnownNodes, root_from_path, tree_levels
from tanqiao.signing.pae import message_hash, message_hashes, pae, require_payload_type
from tanqiao.signing.parties import party_matches
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.proven import Standing, Standings, VerifiedRoots
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.suites import KEY_ID_BYTES

PAYLOAD_BYTES_MAX: Final = 1 << 20
BATCH_BYTES_MAX: Final = 7 << 20
"""Below what one gRPC message may have: headers of items and companions travel with it."""
SIGNATURES_MAX: Final = 8
AUDIENCE_MAX: Final = 64
BATCH_ROOTS_KEPT_MAX: Final = 4096
BATCH_TREES_KEPT_MAX: Final = 16
"""A tree of a full batch takes some 300 KiB."""
PATH_LENGTH_MAX: Final = 64
MESSAGE_ID_BYTES: Final = 16
TRANSFER_ID_BYTES: Final = (0, 16)
HASH_OR_EMPTY_BYTES: Final = (0, 32)
TEXT_SHOWN_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes above which a message is refused before anything else is looked at; bytes and counts."""

    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    batch_bytes_max: int = BATCH_BYTES_MAX
    batch_items_max: int = BATCH_ITEMS_MAX
    signatures_max: int = SIGNATURES_MAX


@dataclass(frozen=True, slots=True)
class AllowedMessage:
    """What one payload type must satisfy where it arrives.

    Args:
        message_class: generated class of the payload.
        senders: patterns of the parties that may send it (`parties.party_matches`).
        role: role that the signing key must have.
        audience: party that the header must name; None: the one that opens. An embedded envelope names
            another.
        signatures_max: signatures that it may carry; more than one for records and orders.
        revoked_allowed: whether a message under a revoked key is handed on, marked, instead of refused: the
            bridge must answer such a lock with ABORT(KEY_REVOKED).
        ended_allowed: whether a message under a key whose time is over is handed on, marked: what was
            promised before is answered, and a receipt is judged at the index of the decision it answers.
        index_field: field with the log index at which the message was made; the key is judged at it instead
            of at the index that the opener knows.
    """

    message_class: type[Message]
    senders: tuple[str, ...]
    role: KeyRole = KeyRole.MESSAGE
    audience: str | None = None
    signatures_max: int = 1
    revoked_allowed: bool = False
    ended_allowed: bool = False
    index_field: str = ""


def allow(
    *message_classes: type[Message],
    senders: tuple[str, ...],
    role: KeyRole = KeyRole.MESSAGE,
    audience: str | None = None,
    signatures_max: int = 1,
    revoked_allowed: bool = False,
    ended_allowed: bool = False,
    index_field: str = "",
) -> dict[str, AllowedMessage]:
    """Give the table entries of messages that are allowed under the same settings, by payload type."""
    return {
        payload_type_of(cls): AllowedMessage(
            cls, senders, role, audience, signatures_max, revoked_allowed, ended_allowed, index_field
        )
        for cls in message_classes
    }


@record
class SignedBy:
    """Whose signature holds over a message."""

    owner: str
    role: KeyRole
    key_id: bytes
    holder: str = ""


@record
class BatchTree:
    """What was hashed to verify a batch: nobody has to hash it again.

    Args:
        hashes: message hash of each item, in order.
        levels: the nodes of the tree over them, leaves first, root last.
    """

    hashes: Sequence[bytes] = ()
    levels: Sequence[Sequence[bytes]] = ()


NO_TREE: Final = BatchTree()


@record
class Opened:
    """A message that passed every check up to the inbox.

    Args:
        payload_type: its type.
        payload: the bytes that were signed.
        message: those bytes, parsed.
        header: its header.
        message_hash: 32 bytes.
        key_id: key of the first signature, which is the sender's.
        envelope_index: position in the batch, 0 for a single envelope.
        key_revoked: whether that key is revoked (only where the table allows it).
        key_ended: whether its time is over at the index that the opener knows (only where that is allowed).
        signed_by: whose signatures hold, in order.
        tree: of the batch that it came in; `NO_TREE` of a single envelope.
    """

    payload_type: str
    payload: bytes
    message: Any
    header: envelope_pb2.Header
    message_hash: bytes
    key_id: bytes
    envelope_index: int
    key_revoked: bool
    signed_by: tuple[SignedBy, ...]
    key_ended: bool = False
    tree: BatchTree = NO_TREE


@dataclass(frozen=True, slots=True)
class Verifier:
    """Opens envelopes for one party of one network.

    Args:
        network_id: network that every header must name.
        own_party: party that the audience must contain.
        limits: sizes.
    """

    network_id: str
    own_party: str
    limits: Limits = field(default_factory=Limits)
    _roots: VerifiedRoots = field(
        default_factory=lambda: VerifiedRoots(BATCH_ROOTS_KEPT_MAX), init=False, repr=False, compare=False
    )
    _standings: Standings = field(
        default_factory=lambda: Standings(BATCH_TREES_KEPT_MAX), init=False, repr=False, compare=False
    )

    def open_envelope(
        self,
        envelope: envelope_pb2.Envelope,
        directory: KeyDirectory,
        *,
        allowed: Mapping[str, AllowedMessage],
        peer: str | None,
        at_index: int,
        hashed: bytes | None = None,
    ) -> Opened:
        """Open one envelope.

        Args:
            envelope: as received.
            directory: keys that are known.
            allowed: payload types that may arrive here.
            peer: party on the TLS connection; None where the envelope is embedded or was fetched.
            at_index: log index at which validity of the key is judged.
            hashed: its message hash, where the caller has just made it of these very bytes.

        Raises:
            DomainError: a reason of family 1, MESSAGE_MALFORMED, UNKNOWN_FIELD or ENUM_UNKNOWN; the first
                check that fails.
        """
        standing = self._standings.find(envelope, directory, allowed)
        if standing is not None:
            opened = self._open_item(envelope, standing, peer, at_index, hashed)
            if opened is not None:
                return opened
        self._require_size(envelope)
        entries = _known_keys(directory, envelope.signatures)
        hashed = self._require_signatures(envelope, entries, hashed)
        rule = _rule_of(allowed, envelope.payload_type, entries[0])
        if len(entries) > rule.signatures_max:
            raise DomainError("MESSAGE_MALFORMED", detail=f"more than {rule.signatures_max} signatures")
        message = parse_strict(rule.message_class, envelope.payload)
        header = message.header  # type: ignore[attr-defined] # every signed message has one (payload_types)
        _require_owner(header, entries[0])
        index = _index_of(message, rule, at_index)
        for entry in entries:
            _require_key(entry, rule, index)
        may_send = _may_send(entries[0], rule)
        self._require_header(header, entries[0], rule, peer, envelope.payload_type, may_send=may_send)
        signed_by = tuple(SignedBy(entry.owner, entry.role, entry.key_id, entry.holder) for entry in entries)
        # The tree of a larger batch than any that is taken whole might grow without end: it is not kept.
        if 0 < envelope.batch_proof.size <= self.limits.batch_items_max:
            proof = envelope.batch_proof
            root = root_from_path(hashed, proof.index, proof.size, proof.path)
            tree = KnownNodes(proof.size, root or b"")
            if tree.holds(hashed, proof.index, proof.path):
                found = Standing(directory, allowed, entries[0], rule, signed_by, tree)
                self._standings.note(envelope, found)
        return Opened(
            envelope.payload_type,
            envelope.payload,
            message,
            header,
            hashed,
            entries[0].key_id,
            envelope.batch_proof.index,
            any(entry.revoked for entry in entries),
            signed_by,
            not all(entry.valid_at(index) for entry in entries),
        )

    def _open_item(
        self,
        envelope: envelope_pb2.Envelope,
        standing: Standing,
        peer: str | None,
        at_index: int,
        hashed: bytes | None,
    ) -> Opened | None:
        """Open a further item of a batch; None where its path does not lead into the tree that is known."""
        payload_type, payload, proof = envelope.payload_type, envelope.payload, envelope.batch_proof
        _require_below(len(payload), self.limits.payload_bytes_max)
        hashed = hashed or message_hash(payload_type, payload)
        if not standing.tree.holds(hashed, proof.index, proof.path):
            return None
        entry, rule = standing.entry, standing.rule
        message = parse_strict(rule.message_class, payload)
        header = message.header  # type: ignore[attr-defined] # as above
        _require_owner(header, entry)
        index = _index_of(message, rule, at_index)
        _require_valid(entry, rule, index)
        self._require_header(header, entry, rule, peer, payload_type, may_send=True)
        return Opened(
            payload_type,
            payload,
            message,
            header,
            hashed,
            entry.key_id,
            proof.index,
            entry.revoked,
            standing.signed_by,
            not entry.valid_at(index),
        )

    def open_batch(
        self,
        batch: envelope_pb2.EnvelopeBatch,
        directory: KeyDirectory,
        *,
        allowed: Mapping[str, AllowedMessage],
        peer: str | None,
        at_index: int,
    ) -> list[Opened | DomainError]:
        """Open a batch with one signature check; each item is opened, or refused for itself.

        Raises:
            DomainError: what concerns the whole batch: size, key, signature, type, role, validity.
        """
        payloads = list(batch.payloads)
        self._require_batch_size(batch, payloads)
        entries = _known_keys(directory, batch.signatures)
        if len(entries) != 1:
            raise DomainError("MESSAGE_MALFORMED", detail="a batch carries exactly one signature")
        entry = entries[0]
        hashes = message_hashes(batch.payload_type, payloads)
        levels = tree_levels(hashes)
        if not entry.verify(batch.signatures[0].signature, signed_bytes(len(payloads), levels[-1][0])):
            raise DomainError("SIGNATURE_INVALID")
        tree = BatchTree(hashes, levels)
        rule = _rule_of(allowed, batch.payload_type, entry)
        _require_role(entry, rule)
        if not rule.index_field:
            _require_valid(entry, rule, at_index)
        signed_by = (SignedBy(entry.owner, entry.role, entry.key_id),)
        # What the key alone decides is looked at once; the order of the checks of an item stays the same.
        may_send, ended = _may_send(entry, rule), not entry.valid_at(at_index)
        results: list[Opened | DomainError] = []
        for index, payload in enumerate(payloads):
            try:
                message = parse_strict(rule.message_class, payload)
                header = message.header  # type: ignore[attr-defined] # as above
                if rule.index_field:
                    index_at = _index_of(message, rule, at_index)
                    _require_valid(entry, rule, index_at)
                    ended = not entry.valid_at(index_at)
                _require_owner(header, entry)
                self._require_header(header, entry, rule, peer, batch.payload_type, may_send=may_send)
            except DomainError as refusal:
                results.append(refusal)
                continue
            results.append(
                Opened(
                    batch.payload_type,
                    payload,
                    message,
                    header,
                    hashes[index],
                    entry.key_id,
                    index,
                    entry.revoked,
                    signed_by,
                    ended,
                    tree,
                )
            )
        return results

    # -- 1: size ---------------------------------------------------------------------------------------------

    def _require_size(self, envelope: envelope_pb2.Envelope) -> None:
        require_payload_type(envelope.payload_type)
        _require_below(len(envelope.payload), self.limits.payload_bytes_max)
        _require_signature_count(len(envelope.signatures), self.limits.signatures_max)
        if len(envelope.batch_proof.path) > PATH_LENGTH_MAX:
            raise DomainError("MESSAGE_MALFORMED", detail="the path of the batch proof is too long")

    def _require_batch_size(self, batch: envelope_pb2.EnvelopeBatch, payloads: Sequence[bytes]) -> None:
        if not payloads:
            raise DomainError("BATCH_EMPTY")
        if len(payloads) > self.limits.batch_items_max:
            raise DomainError("BATCH_TOO_LARGE", limit=self.limits.batch_items_max, count=len(payloads))
        require_payload_type(batch.payload_type)
        _require_below(sum(map(len, payloads)), self.limits.batch_bytes_max)
        _require_below(max(map(len, payloads)), self.limits.payload_bytes_max)
        _require_signature_count(len(batch.signatures), self.limits.signatures_max)
        if len(batch.companions) not in (0, len(payloads)):
            raise DomainError("MESSAGE_MALFORMED", detail="companions go with every item or with none")

    # -- 3: signature ----------------------------------------------------------------------------------------

    def _require_signatures(
        self, envelope: envelope_pb2.Envelope, entries: Sequence[KeyEntry], hashed: bytes | None
    ) -> bytes:
        """Check every signature; gives the message hash."""
        if envelope.HasField("batch_proof"):
            return self._require_batch_proof(envelope, entries, hashed)
        message = pae(envelope.payload_type, envelope.payload)
        for entry, signature in zip(entries, envelope.signatures, strict=True):
            if not entry.verify(signature.signature, message):
                raise DomainError("SIGNATURE_INVALID")
        return hashlib.sha256(message).digest()

    def _require_batch_proof(
        self, envelope: envelope_pb2.Envelope, entries: Sequence[KeyEntry], hashed: bytes | None
    ) -> bytes:
        if len(entries) != 1:
            raise DomainError("MESSAGE_MALFORMED", detail="a batch carries exactly one signature")
        proof = envelope.batch_proof
        leaf = hashed or message_hash(envelope.payload_type, envelope.payload)
        root = root_from_path(leaf, proof.index, proof.size, proof.path)
        if root is None:
            raise DomainError("BATCH_PROOF_INVALID", position=proof.index)
        signed = signed_bytes(proof.size, root)
        if not self._roots.holds(entries[0], signed, envelope.signatures[0].signature):
            raise DomainError("SIGNATURE_INVALID")
        return leaf

    # -- 6 to 8: what the header says ------------------------------------------------------------------------

    def _require_header(
        self,
        header: envelope_pb2.Header,
        entry: KeyEntry,
        rule: AllowedMessage,
        peer: str | None,
        payload_type: str,
        *,
        may_send: bool,
    ) -> None:
        sender = entry.owner
        if header.key_epoch != entry.epoch:
            raise DomainError("KEY_EPOCH_WRONG", epoch=header.key_epoch, expected=entry.epoch)
        if peer is not None and peer != sender:
            raise DomainError("PEER_NOT_SENDER", sender=sender, peer=peer)
        if header.network_id != self.network_id:
            raise DomainError("NETWORK_MISMATCH", network=_shown(header.network_id), expected=self.network_id)
        expected = rule.audience or self.own_party
        if expected not in header.audience:
            shown = [_shown(party) for party in header.audience[:SIGNATURES_MAX]]
            raise DomainError("AUDIENCE_MISMATCH", audience=shown, expected=expected)
        if not may_send:
            raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=sender, payload_type=payload_type)
        _require_header_shape(header)


def _may_send(entry: KeyEntry, rule: AllowedMessage) -> bool:
    """Whether the owner of the key may send messages of the type here."""
    return any(party_matches(pattern, entry.owner) for pattern in rule.senders)


def _require_owner(header: envelope_pb2.Header, entry: KeyEntry) -> None:
    if header.sender != entry.owner:
        raise DomainError("SENDER_MISMATCH", sender=_shown(header.sender), owner=entry.owner)


def _require_header_shape(header: envelope_pb2.Header) -> None:
    if len(header.message_id) != MESSAGE_ID_BYTES:
        raise DomainError(
            "MESSAGE_MALFORMED", field="header.message_id", detail="message_id has not 16 bytes"
        )
    if len(header.transfer_id) not in TRANSFER_ID_BYTES:
        raise DomainError(
            "MESSAGE_MALFORMED", field="header.transfer_id", detail="transfer_id has not 16 bytes"
        )
    if len(header.prev_hash) not in HASH_OR_EMPTY_BYTES:
        raise DomainError("MESSAGE_MALFORMED", field="header.prev_hash", detail="prev_hash has not 32 bytes")
    if len(header.rules_digest) not in HASH_OR_EMPTY_BYTES:
        raise DomainError(
            "MESSAGE_MALFORMED", field="header.rules_digest", detail="rules_digest has not 32 bytes"
        )
    if len(header.audience) > AUDIENCE_MAX:
        raise DomainError("MESSAGE_MALFORMED", field="header.audience", detail="the audience is too long")


def _require_below(size: int, limit: int) -> None:
    if size > limit:
        raise DomainError("MESSAGE_TOO_LARGE", size=size, limit=limit)


def _require_signature_count(count: int, limit: int) -> None:
    if count == 0:
        raise DomainError("SIGNATURE_MISSING")
    if count > limit:
        raise DomainError("MESSAGE_MALFORMED", detail=f"more than {limit} signatures")


def _known_keys(directory: KeyDirectory, signatures: Sequence[envelope_pb2.Signature]) -> list[KeyEntry]:
    entries: dict[bytes, KeyEntry] = {}
    for signature in signatures:
        entry = directory.get(signature.key_id)
        if entry is None:
            raise DomainError("KEY_UNKNOWN", key_id=signature.key_id[:KEY_ID_BYTES])
        if entry.key_id in entries:
            raise DomainError("MESSAGE_MALFORMED", detail="two signatures of the same key")
        entries[entry.key_id] = entry
    return list(entries.values())


def _rule_of(allowed: Mapping[str, AllowedMessage], payload_type: str, entry: KeyEntry) -> AllowedMessage:
    rule = allowed.get(payload_type)
    if rule is None:
        raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=entry.owner, payload_type=_shown(payload_type))
    return rule


def _index_of(message: Any, rule: AllowedMessage, at_index: int) -> int:  # noqa: ANN401 - any signed message
    """Give the log index at which the key is judged: the message's own where it names one."""
    return int(getattr(message, rule.index_field)) if rule.index_field else at_index


def _require_key(entry: KeyEntry, rule: AllowedMessage, at_index: int) -> None:
    _require_role(entry, rule)
    _require_valid(entry, rule, at_index)


def _require_role(entry: KeyEntry, rule: AllowedMessage) -> None:
    if entry.role != rule.role:
        raise DomainError("KEY_ROLE_WRONG", role=entry.role.name.lower(), needed=rule.role.name.lower())
    if entry.revoked and not rule.revoked_allowed:
        raise DomainError("KEY_REVOKED", key_id=entry.key_id)


def _require_valid(entry: KeyEntry, rule: AllowedMessage, at_index: int) -> None:
    if not entry.valid_at(at_index) and not (rule.ended_allowed and entry.ended_at(at_index)):
        raise DomainError("KEY_NOT_VALID_AT_INDEX", key_id=entry.key_id, index=at_index)


def _shown(text: str) -> str:
    """What a peer wrote, fit for a sentence: bounded, printable."""
    return "".join(character if character.isprintable() else "?" for character in text[:TEXT_SHOWN_MAX])


def require_signers(opened: Opened, owners: Sequence[str], role: KeyRole) -> None:
    """Demand that each owner signed the opened message with a key of this role; a name given twice, twice.

    The keys are distinct, so that ``(x, x)`` asks for two approvers of the same authority; two keys in one
    hand (`KeyEntry.holder`) are one approver.

    Raises:
        DomainError: APPROVERS_MISSING for approvers, else SIGNATURE_MISSING.
    """
    require(len(owners) > 0, "at least one signer is demanded")
    _require_owners(_hands(one for one in opened.signed_by if one.role == role), owners, role)


def _hands(signed_by: Iterable[SignedBy]) -> list[str]:
    """Give the owners of signatures, one for each hand that signed."""
    hands = {(one.owner, one.holder or one.key_id.hex()): one.owner for one in signed_by}
    return list(hands.values())


def _require_owners(signed: Sequence[str], owners: Sequence[str], role: KeyRole) -> None:
    needed, have = Counter(owners), Counter(signed)
    if have >= needed:
        return
    missing = sorted((needed - have).elements())
    if role == KeyRole.APPROVER:
        raise DomainError(
            "APPROVERS_MISSING", needed=needed.total(), have=(needed & have).total(), missing=missing
        )
    raise DomainError("SIGNATURE_MISSING", missing=missing, role=role.name.lower())


def verify_signatures(
    envelope: envelope_pb2.Envelope,
    directory: KeyDirectory,
    owners: Sequence[str],
    role: KeyRole,
    *,
    at_index: int,
) -> tuple[SignedBy, ...]:
    """Check the signatures alone: each is of a known, valid key of the role, and each owner is among them.

    For tools that look at a record which they do not act on; a message that is acted on is opened.

    Raises:
        DomainError: KEY_UNKNOWN, SIGNATURE_INVALID, KEY_ROLE_WRONG, KEY_REVOKED, KEY_NOT_VALID_AT_INDEX,
            SIGNATURE_MISSING, APPROVERS_MISSING.
    """
    require_payload_type(envelope.payload_type)
    _require_signature_count(len(envelope.signatures), SIGNATURES_MAX)
    entries = _known_keys(directory, envelope.signatures)
    message = pae(envelope.payload_type, envelope.payload)
    rule = AllowedMessage(Message, (), role)
    for entry, signature in zip(entries, envelope.signatures, strict=True):
        if not entry.verify(signature.signature, message):
            raise DomainError("SIGNATURE_INVALID")
        _require_key(entry, rule, at_index)
    signed_by = tuple(SignedBy(entry.owner, entry.role, entry.key_id, entry.holder) for entry in entries)
    _require_owners(_hands(signed_by), owners, role)
    return signed_by
