"""Messages of which most bytes are alike: written once, and filled for each message.

The messages of a batch differ in a few ids and hashes of fixed length. Made field by field, the same names,
lengths and dates are encoded a thousand times. A `Form` is one message that protobuf itself has encoded, cut
at those places; filled, it is byte for byte what protobuf would have made of the same values. A field whose
length changes with its value (a serial, an index) stands between two forms, in the order of the numbers:
serialised messages that are put one behind the other read as one message with the fields of both
(https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from google.protobuf.message import Message

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.invariants import require
from tanqiao.signing.envelope import Signer
from tanqiao.signing.pae import MESSAGE_HASH_BYTES

ID_BYTES: Final = 16
LENGTH_DELIMITED: Final = 2
_DOMAIN: Final = b"tanqiao place"


def place(number: int, length: int) -> bytes:
    """Give the bytes that hold a place of a form; places of other numbers or lengths are other bytes."""
    return hashlib.shake_256(b"%b %d %d" % (_DOMAIN, number, length)).digest(length)


MESSAGE_ID: Final = place(1, ID_BYTES)
TRANSFER_ID: Final = place(2, ID_BYTES)
PREV_HASH: Final = place(3, MESSAGE_HASH_BYTES)
FIRST_HASH: Final = place(4, MESSAGE_HASH_BYTES)
SECOND_HASH: Final = place(5, MESSAGE_HASH_BYTES)


class Form:
    """One message with places.

    Args:
        sample: its bytes, with what `place` gave where the messages differ.
        places: those, in the order in which they stand there; each occurs once.
    """

    __slots__ = ("_length", "_pattern")

    def __init__(self, sample: bytes, places: Sequence[bytes]) -> None:
        parts, rest = [], sample
        for one in places:
            before, _, rest = rest.partition(one)
            parts.append(before)
        require(
            all(sample.count(one) == 1 for one in places) and sample == _joined([*parts, rest], places),
            "every place of a form stands in it once, in order",
        )
        self._pattern = b"%b".join(part.replace(b"%", b"%%") for part in (*parts, rest))
        self._length = len(sample)

    @staticmethod
    def of(message: Message, places: Sequence[bytes]) -> Form:
        """Make the form of a message."""
        return Form(message.SerializeToString(), places)

    def fill(self, *values: bytes) -> bytes:
        """Give the bytes with these values in the places; each is as long as its place."""
        made = self._pattern % values
        require(len(made) == self._length, "a value of a form has another length than its place")
        return made


def _joined(parts: Sequence[bytes], places: Sequence[bytes]) -> bytes:
    whole = [parts[0]]
    for one, part in zip(places, parts[1:], strict=True):
        whole += (one, part)
    return b"".join(whole)


_SHORT: Final = tuple(bytes((number,)) for number in range(128))


def varint(number: int) -> bytes:
    """Give a number that is not negative as protobuf writes it: seven bits a byte, the lowest first."""
    if number < 1 << 7:
        return _SHORT[number]
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    made = bytearray()
    while number > 127:  # noqa: PLR2004 - seven bits
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


def number_field(field: int, value: int) -> bytes:
    """Give a field with a number that is not negative; nothing for zero, as protobuf writes it."""
    return _SHORT[field << 3] + varint(value) if value else b""


def bytes_field(field: int, data: bytes) -> bytes:
    """Give a field with bytes, a text's or those of another message."""
    length = len(data)
    written = _SHORT[length] if length < len(_SHORT) else varint(length)
    return b"%b%b%b" % (_SHORT[field << 3 | LENGTH_DELIMITED], written, data)


class HasSigner(Protocol):
    """A node's own things, as far as they stand in every header."""

    signer: Signer
    network_id: str


class Sender(NamedTuple):
    """What every header of a node says, until its key changes."""

    network_id: str
    owner: str
    key_epoch: int

    @staticmethod
    def of(node: HasSigner) -> Sender:
        """Give the sender that a node is now."""
        signer = node.signer
        return Sender(node.network_id, signer.owner, signer.key_epoch)

    def header(
        self, audience: Sequence[str], source: str, *, prev_hash: bytes = b"", rules_digest: bytes = b""
    ) -> envelope_pb2.Header:
        """Give the header of a form, with places for the ids of message and transfer."""
        return envelope_pb2.Header(
            network_id=self.network_id,
            sender=self.owner,
            audience=audience,
            message_id=MESSAGE_ID,
            source=source,
            transfer_id=TRANSFER_ID,
            prev_hash=prev_hash,
            rules_digest=rules_digest,
            key_epoch=self.key_epoch,
        )
