"""The signed messages of a proof file, taken apart by hand for `verify_file`: standard library alone.

A table says which fields a message has; any other is refused.
"""

from __future__ import annotations

from tests.independent.verify_proof import Refused, need

TYPE = b"application/vnd.tanqiao.%s.v1+protobuf"
LOCK, USE, READY, REFUSE, DECISION, NACK, RECORD, CERTIFICATE, FILING = (
    TYPE % name
    for name in (
        b"lock-assertion",
        b"use",
        b"ready",
        b"refuse",
        b"decision",
        b"nack",
        b"key-record",
        b"neutrality-certificate",
        b"filing-proof",
    )
)
PACK, RECEIPT, RESOLUTION, ALIAS = (
    TYPE % name for name in (b"conflict-pack", b"claim-receipt", b"case-resolution", b"alias-decision")
)
GROUP = TYPE % b"witness-group-record"
ROOT, MESSAGE, CHECKPOINT_KEY, WITNESS, APPROVER = 1, 3, 4, 5, 6
# Fields of each message: number → n (number), b (bytes or text), or the table of the message in it.
Table = dict[int, object]
DATE: Table = {1: "n", 2: "n", 3: "n"}
UNITS: Table = {1: "b", 2: "n", 3: "n"}
REFUSAL: Table = {n: "n" if n in {2, 8} else "b" for n in range(1, 20)}
HEADER: Table = {n: "n" if n == 9 else "b" for n in range(1, 10)}
ENVELOPE: Table = {1: "b", 2: "b", 3: {1: "b", 2: "b"}, 4: {1: "n", 2: "n", 3: "b"}}
CASE: Table = {n: "n" if n in {1, 7} else "b" for n in range(1, 13)}
STATED: Table = {1: "b", 2: "n", 3: "b"}
LINK: Table = {1: "b", 2: "b", 3: "b", 4: "b", 5: DATE}
MESSAGES: dict[bytes, Table] = {
    LOCK: {1: HEADER, 2: UNITS, 3: "b", 4: "b", 5: "b", 6: "b", 7: "n"},
    USE: {1: HEADER, 2: UNITS, 3: "n", 4: "b", 5: "b", 6: "b", 7: "n", 8: DATE, 9: "b"},
    READY: {1: HEADER, 2: "b", 3: DATE},
    REFUSE: {1: HEADER, 2: "b", 3: "b"},
    DECISION: {1: HEADER, 2: "n", 3: "b", 4: "b", 5: "n", 6: "b", 7: DATE, 8: {1: "n", 2: "n"}, 9: "n"},
    NACK: {1: HEADER, 2: "b", 3: REFUSAL},
    RECORD: {1: HEADER, 2: "b", 3: "n", 4: "n", 5: "b", 6: "n", 7: "n", 8: "n", 9: "n", 10: "b"},
    CERTIFICATE: {1: HEADER, 4: UNITS, 10: DATE, 11: DATE}
    | {n: "n" if n in {5, 14, 15} else "b" for n in (2, 3, 5, 6, 7, 8, 9, 12, 13, 14, 15)},
    FILING: {n: "n" if n in {7, 13} else "b" for n in (2, 3, 4, 5, 6, 7, 9, 12, 13)}
    | {1: HEADER, 8: DATE, 10: LINK, 11: DATE},
    PACK: {1: HEADER, 2: CASE, 3: "b", 4: STATED, 5: "b", 6: "b", 7: "b", 8: "n", 9: "b", 10: "b"},
    RECEIPT: {1: HEADER, 2: "b", 3: "n", 4: "b", 5: "n", 6: "b", 7: "b", 8: "b"},
    RESOLUTION: {1: HEADER, 2: "n", 3: "n", 4: "b", 5: "b", 6: "b"},
    ALIAS: {1: HEADER, 2: "b", 3: "b", 4: "n", 5: "b", 6: "b"},
    GROUP: {n: "n" if n in {3, 6} else "b" for n in range(2, 8)} | {1: HEADER},
}
SENDERS = dict.fromkeys((LOCK, USE, READY, REFUSE, NACK, CERTIFICATE, FILING), b"region/")


class Fields:
    """A protobuf message by field number; what the table does not name is refused."""

    def __init__(self, data: bytes, table: Table) -> None:
        self.found: dict[int, list[object]] = {}
        rest = data
        while rest:
            tag, rest = varint(rest)
            kind, wire = table.get(tag >> 3), tag & 7
            need(kind is not None, f"a field {tag >> 3} that nobody knows")
            if kind == "n":
                need(wire == 0, "a number on another wire")
                value, rest = varint(rest)
                self.found.setdefault(tag >> 3, []).append(value)
                continue
            need(wire == 2, "bytes on another wire")
            size, rest = varint(rest)
            need(size <= len(rest), "a message that is cut off")
            part, rest = rest[:size], rest[size:]
            self.found.setdefault(tag >> 3, []).append(Fields(part, kind) if isinstance(kind, dict) else part)

    def number(self, at: int) -> int:
        value = self.found.get(at, [0])[-1]
        return value if isinstance(value, int) else 0

    def data(self, at: int) -> bytes:
        value = self.found.get(at, [b""])[-1]
        return value if isinstance(value, bytes) else b""

    def every(self, at: int) -> list[bytes]:
        return [value for value in self.found.get(at, []) if isinstance(value, bytes)]

    def parts(self, at: int) -> list[Fields]:
        return [value for value in self.found.get(at, []) if isinstance(value, Fields)]


def varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for at, byte in enumerate(data[:10]):
        value |= (byte & 127) << 7 * at
        if byte < 128:
            return value, data[at + 1 :]
    raise Refused("a number that does not end")
