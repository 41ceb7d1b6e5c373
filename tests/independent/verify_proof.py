"""A second verifier of proof files, written from the C2SP documents without the library of this project.

Only the standard library and the Ed25519 primitive of `cryptography` are used; nothing is imported from the
project, and another way was taken where there was one: trees are walked down from the root by the recursive
definition of RFC 6962 instead of up from the leaf, texts are matched by regular expressions over bytes, and a
quorum is counted by rewriting groups into numbers. Whoever doubts one verifier asks the other.

Use::

    python verify_proof.py proof POLICY FILE LEAF
    python verify_proof.py checkpoint POLICY FILE
    python verify_proof.py evidence POLICY FILE
    python verify_proof.py policy FILE
    python verify_proof.py note KEY FILE
    python verify_proof.py log SIZE ROOT FOLDER

It prints what was checked and ends with 0, or prints why it refuses and ends with 1.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LIMIT = 2**63
MAX_FILE = 1024 * 1024
MAX_NOTE = 256 * 1024
MAX_LINES = 64

B64 = rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
NUMBER = rb"(0|[1-9][0-9]{0,18})"
PROOF = re.compile(
    rb"c2sp\.org/tlog-proof@v1\n(?:extra ("
    + B64
    + rb")\n)?index "
    + NUMBER
    + rb"\n((?:[A-Za-z0-9+/]{43}=\n){0,64})\n"
)
CHECKPOINT = re.compile(rb"([^\n]{1,255})\n" + NUMBER + rb"\n([A-Za-z0-9+/]{43}=)\n((?:[^\n]+\n){0,16})")
SIGNATURE = re.compile(rb"\xe2\x80\x94 ([^ \n]{1,255}) (" + B64 + rb")\n")

# Points whose order divides 8, by the y coordinate without its sign bit.
P = 2**255 - 19
Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
WEAK = {0, 1, P - 1, Y8, P - Y8}


class Refused(Exception):  # noqa: N818 - the word that is printed
    """The bytes prove nothing; the message says why."""


def need(condition: object, why: str) -> None:
    if not condition:
        raise Refused(why)


def matched(match: re.Match[bytes] | None, why: str) -> re.Match[bytes]:
    if match is None:
        raise Refused(why)
    return match


def unbase64(text: bytes) -> bytes:
    data = base64.b64decode(text)
    need(base64.b64encode(data) == text, "base64 with stray bits")
    return data


def number(text: bytes, what: str) -> int:
    need(re.fullmatch(NUMBER, text) and int(text) < LIMIT, f"{what} is not a canonical number")
    return int(text)


# --- Merkle trees, from the root downwards


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\0" + leaf).digest()


def join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1 over leaf hashes, by its recursive definition."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return join(tree_hash(leaves[:k]), tree_hash(leaves[k:]))


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root_from_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Undo PATH(m, D[n]) of RFC 6962 section 2.1.1; the last hash belongs to the uppermost split."""
    if size == 1:
        need(not path, "the path is too long")
        return leaf
    need(path, "the path is too short")
    k = largest_power_below(size)
    if index < k:
        return join(root_from_path(index, k, leaf, path[:-1]), path[-1])
    return join(path[-1], root_from_path(index - k, size - k, leaf, path[:-1]))


def roots_of_growth(old: int, new: int, path: list[bytes], given: bytes | None) -> tuple[bytes, bytes]:
    """Undo SUBPROOF of RFC 6962 section 2.1.2: hashes over the first `old` and over all `new` leaves.

    `given` is the old root while the old tree is still whole below us, None once it was split.
    """
    if old == new:
        need(len(path) == (0 if given else 1), "the proof of growth has another length")
        value = given or path[0]
        return value, value
    need(path, "the proof of growth is too short")
    k = largest_power_below(new)
    if old <= k:
        before, after = roots_of_growth(old, k, path[:-1], given)
        return before, join(after, path[-1])
    before, after = roots_of_growth(old - k, new - k, path[:-1], None)
    return join(path[-1], before), join(path[-1], after)


# --- notes, checkpoints, cosignatures


class Key:
    """A verifier key ``name+hash+base64``."""

    def __init__(self, text: bytes) -> None:
        need(len(text) <= 512, "a key that is too long")
        parts = matched(re.fullmatch(rb"([^+]*)\+([^+]*)\+(.*)", text, re.DOTALL), "not name+hash+base64")
        self.name = parts[1]
        check_name(self.name)
        need(re.fullmatch(B64, parts[3]), "a key is not base64")
        raw = unbase64(parts[3])
        need(len(raw) == 33, "a key is not 33 bytes")
        need(raw[0] in {1, 4}, "a key of a type that is not checked here")
        self.kind, self.public = raw[0], raw[1:]
        self.id = sha256(self.name + b"\n" + raw).digest()[:4]
        need(self.id.hex().encode() == parts[2], "a key hash that is not the key's")
        need((int.from_bytes(self.public, "little") % 2**255) % P not in WEAK, "a key of small order")

    def check(self, message: bytes, signature: bytes) -> None:
        need(len(signature) == 64, "a signature is not 64 bytes")
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise Refused(f"the signature of {self.name!r} is wrong") from None


def check_name(name: bytes) -> None:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise Refused("a key name is not UTF-8") from None
    need(0 < len(name) <= 255 and not re.search(r"[\s+\x00-\x1f]", text), "a key name nobody may have")


def check_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    need(not re.search(rb"[\x00-\x09\x0b-\x1f]", data), "a control character")


def split_note(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes, bytes]]]:
    """Text, and (name, key hash, signature) of each line."""
    need(len(data) <= MAX_NOTE, "a note that is too large")
    check_text(data)
    cut = data.rfind(b"\n\n")
    need(cut >= 0 and data.endswith(b"\n"), "no signatures, or cut off")
    found: list[tuple[bytes, bytes, bytes]] = []
    position = cut + 2
    while position < len(data):
        line = matched(SIGNATURE.match(data, position), "a line that is no signature")
        need(len(found) < MAX_LINES, "too many signatures")
        check_name(line[1])
        raw = unbase64(line[2])
        need(4 < len(raw) <= 4 + 8192, "a signature that is empty or too long")
        found.append((line[1], raw[:4], raw[4:]))
        position = line.end()
    need(found, "no signatures")
    return data[: cut + 1], found


def signed_by(data: bytes, keys: list[Key]) -> tuple[bytes, dict[int, int]]:
    """The text, and which keys signed it, by position: 0, or the time of the newest cosignature."""
    text, lines = split_note(data)
    times: dict[int, int] = {}
    for name, key_id, signature in lines:
        for position, key in enumerate(keys):
            if (key.name, key.id) == (name, key_id):
                time, message = 0, text
                if key.kind == 4:
                    need(len(signature) == 72, "a cosignature is not 72 bytes")
                    time, signature = int.from_bytes(signature[:8], "big"), signature[8:]  # noqa: PLW2901
                    need(time < LIMIT, "a cosignature from beyond the end of time")
                    message = b"cosignature/v1\ntime " + str(time).encode() + b"\n" + text
                key.check(message, signature)
                times[position] = max(time, times.get(position, 0))
    return text, times


def verify_note(data: bytes, key: Key) -> None:
    _, times = signed_by(data, [key])
    need(times, "not signed by the known key")


def verify_checkpoint(data: bytes, policy: Policy) -> tuple[bytes, int, bytes]:
    """Origin, size and root of a checkpoint that a log of the policy signed and a quorum cosigned."""
    stated = CHECKPOINT.fullmatch(split_note(data)[0])
    policy = policy.at(number(stated[2], "the size") if stated else 0)
    text, times = signed_by(data, policy.logs + [key for _, key in policy.witnesses])
    parts = matched(CHECKPOINT.fullmatch(text), "not a checkpoint")
    origin, size, root = parts[1], number(parts[2], "the size"), unbase64(parts[3])
    logs = [policy.logs[position].name for position in times if position < len(policy.logs)]
    need(origin in logs, "no log of the policy signed this checkpoint as its own")
    need(size > 0 or root == sha256(b"").digest(), "an empty tree with a root")
    others = [position - len(policy.logs) for position in times if position >= len(policy.logs)]
    cosigned = {policy.witnesses[position][0] for position in others}
    need(policy.reached(cosigned), f"no quorum: {len(cosigned)} cosigned")
    return origin, size, root


# --- policies


class Policy:
    """Logs, witnesses, groups and the quorum of a policy file; `since`: what counts from a size on."""

    def __init__(self, data: bytes) -> None:
        need(len(data) <= MAX_NOTE, "a policy that is too large")
        need(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data), "a control character")
        need(data.endswith(b"\n"), "cut off")
        head, *rest = re.split(rb"^[ \t]*from[ \t]+([^\n]*)\n", data, flags=re.MULTILINE)
        self.since: list[tuple[int, Policy]] = []
        self.read(head, [])
        for words, lines in zip(rest[::2], rest[1::2], strict=True):
            size = number(words.strip(b" \t"), "a size")
            need(size > (self.since[-1][0] if self.since else 0), "sizes that do not ascend")
            later = Policy.__new__(Policy)
            later.since = []
            later.read(lines, self.logs)
            need(len(later.logs) == len(self.logs), "another log")
            self.since.append((size, later))
        need(len(self.since) < 64, "too many sections")

    def at(self, size: int) -> Policy:
        """What counts for a checkpoint of a size."""
        return [self, *(policy for start, policy in self.since if start <= size)][-1]

    def read(self, data: bytes, logs: list[Key]) -> None:
        """Read the lines of one section."""
        self.logs: list[Key] = list(logs)
        self.witnesses: list[tuple[bytes, Key]] = []
        self.groups: dict[bytes, tuple[int, list[bytes]]] = {}
        self.quorum = b""
        self.names: set[bytes] = set()
        self.members: set[bytes] = set()
        verbs: dict[bytes, Callable[[list[bytes]], None]] = {
            b"log": self.add_log,
            b"witness": self.add_witness,
            b"group": self.add_group,
            b"quorum": self.set_quorum,
        }
        for line in data.split(b"\n"):
            words = re.findall(rb"[^ \t]+", line)
            if words and not words[0].startswith(b"#"):
                need(words[0] in verbs, "an unknown keyword")
                verbs[words[0]](words[1:])
        need(self.quorum, "no quorum line")
        keys = [key.public for key in self.logs] + [key.public for _, key in self.witnesses]
        need(len(set(keys)) == len(keys), "one key in two lines")
        need(
            len(self.logs) <= 64 and len(self.witnesses) <= 256 and len(self.groups) <= 256, "too many lines"
        )

    def add_log(self, words: list[bytes]) -> None:
        need(len(words) in {1, 2}, "a log line has a key and perhaps an address")
        key = Key(words[0])
        need(key.kind == 1, "a log with a witness's key")
        self.logs.append(key)

    def add_witness(self, words: list[bytes]) -> None:
        need(len(words) in {2, 3}, "a witness line has a name, a key and perhaps an address")
        key = Key(words[1])
        need(key.kind == 4, "a witness with a log's key")
        self.define(words[0])
        self.witnesses.append((words[0], key))

    def add_group(self, words: list[bytes]) -> None:
        need(len(words) >= 3, "a group line has a name, a threshold and members")
        name, rule, members = words[0], words[1], words[2:]
        for member in members:
            need(member in self.names, "a member that is not defined above")
            need(member not in self.members, "a member of two groups, or twice of one")
            self.members.add(member)
        short = {b"all": len(members), b"any": 1}
        threshold = short[rule] if rule in short else number(rule, "a threshold")
        need(1 <= threshold <= len(members), "a threshold out of range")
        self.define(name)
        self.groups[name] = (threshold, members)

    def set_quorum(self, words: list[bytes]) -> None:
        need(len(words) == 1 and not self.quorum, "one quorum line with one name")
        need(words[0] == b"none" or words[0] in self.names, "a quorum that is not defined above")
        self.quorum = words[0]

    def define(self, name: bytes) -> None:
        need(name != b"none" and name not in self.names, "a name that is taken")
        need(len(name) <= 255, "a name that is too long")
        self.names.add(name)

    def reached(self, cosigned: set[bytes]) -> bool:
        """Groups stand below their members: one pass in order settles every name."""
        holds = {name: name in cosigned for name, _ in self.witnesses} | {b"none": True}
        for name, (threshold, members) in self.groups.items():
            holds[name] = sum(holds[member] for member in members) >= threshold
        return holds[self.quorum]


# --- proof files


def verify_proof(data: bytes, leaf: bytes, policy: Policy) -> tuple[bytes, int, int, bytes]:
    """Origin, index, size and root under which the leaf is in a log of the policy."""
    need(len(data) <= MAX_FILE and len(leaf) < 2**16, "too large")
    parts = matched(PROOF.match(data), "not a proof file")
    if parts[1] is not None:
        need(0 < len(unbase64(parts[1])) <= MAX_NOTE, "an extra line that is empty or too long")
    index = number(parts[2], "the index")
    path = [unbase64(line) for line in parts[3].split()]
    origin, size, root = verify_checkpoint(data[parts.end() :], policy)
    need(index < size, "an index outside the tree")
    need(root_from_path(index, size, leaf_hash(leaf), path) == root, "the path does not lead to the root")
    return origin, index, size, root


# --- evidence that a log lied

EVIDENCE = re.compile(
    rb"tanqiao-log-misbehaviour@v1\nfirst "
    + NUMBER
    + rb"\nsecond "
    + NUMBER
    + rb"\n(?:root ([A-Za-z0-9+/]{43}=)\n((?:[A-Za-z0-9+/]{43}=\n){0,64}))?\n"
)


def verify_evidence(data: bytes, policy: Policy) -> None:
    """Two checkpoints under one key of a log that cannot both be honest."""
    need(len(data) <= MAX_FILE, "too large")
    parts = matched(EVIDENCE.match(data), "not an evidence file")
    notes, cut = data[parts.end() :], number(parts[1], "a size")
    need(len(notes) == cut + number(parts[2], "a size"), "notes of other sizes")
    found = []
    for note in (notes[:cut], notes[cut:]):
        text, times = signed_by(note, policy.logs)
        lines = matched(CHECKPOINT.fullmatch(text), "not a checkpoint")
        keys = {position for position in times if policy.logs[position].name == lines[1]}
        need(keys, "not signed by the log")
        found.append((keys, number(lines[2], "the size"), unbase64(lines[3])))
    (keys, first, root), (other_keys, second, other_root) = found
    need(keys & other_keys, "two logs")
    need(
        all(size > 0 or value == sha256(b"").digest() for _, size, value in found),
        "an empty tree with a root",
    )
    if parts[3] is None:
        need(first == second and root != other_root, "both can be honest")
        return
    claimed = unbase64(parts[3])
    need(0 < first < second and claimed != root, "both can be honest")
    path = [unbase64(line) for line in parts[4].split()]
    need(roots_of_growth(first, second, path, claimed) == (claimed, other_root), "the growth is not proven")


# --- whole logs from tiles


def verify_log(size: int, root: bytes, read: Callable[[str], bytes]) -> None:
    """Rebuild every tile of a small log from its entries and compare each with the one that is served."""
    need(0 < size < 2**24, "a size that this verifier does not audit")
    row: list[bytes] = []
    for n in range(0, size, 256):
        width = min(256, size - n)
        bundle = read("tile/entries/" + name(n // 256, width))
        row += [leaf_hash(entry) for entry in entries(bundle, width)]
    level = 0
    need(tree_hash(row) == root, "the entries do not lead to the root")
    while row:
        for n in range(0, len(row), 256):
            served = read(f"tile/{level}/" + name(n // 256, min(256, len(row) - n)))
            need(served == b"".join(row[n : n + 256]), f"tile {level}/{n // 256} is not that of the entries")
        row = [tree_hash(row[n : n + 256]) for n in range(0, len(row) - 255, 256)]
        level += 1


def name(n: int, width: int) -> str:
    digits = str(n).zfill(-(-len(str(n)) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "".join(f"x{group}/" for group in groups[:-1]) + groups[-1]
    return path if width == 256 else f"{path}.p/{width}"


def entries(data: bytes, width: int) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while position < len(data):
        need(len(data) - position >= 2, "half a length")
        end = position + 2 + 256 * data[position] + data[position + 1]
        need(end <= len(data), "half an entry")
        found.append(data[position + 2 : end])
        position = end
    need(len(found) == width, f"{len(found)} entries instead of {width}")
    return found


# --- leaves


def verify_leaf(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Kind and fields of a framed leaf that is spelt canonically."""
    need(data[:4] == b"TQL\x01" and len(data) < 2**16, "not a leaf of version 1")
    rest = data[4:]

    def cut(prefix: int) -> bytes:
        nonlocal rest
        need(len(rest) >= prefix, "a leaf that is cut off")
        end = prefix + int.from_bytes(rest[:prefix], "big")
        need(len(rest) >= end, "a leaf that is cut off")
        part, rest = rest[prefix:end], rest[end:]
        return part

    kind = cut(1)
    need(re.fullmatch(rb"[a-z][a-z0-9_]{0,63}", kind), "a kind that is no word")
    need(rest, "a leaf that is cut off")
    count, rest = rest[0], rest[1:]
    need(count <= 64, "too many fields")
    fields: list[tuple[bytes, bytes]] = []
    for _ in range(count):
        fields.append((cut(1), cut(2)))
        need(re.fullmatch(rb"[a-z][a-z0-9_]{0,63}", fields[-1][0]), "a field name that is no word")
    need(not rest, "bytes behind the end")
    names = [field for field, _ in fields]
    need(names == sorted(set(names)), "fields that do not ascend")
    return kind, dict(fields)


def main(arguments: list[str]) -> int:
    """Do what the first word says; see the head of this file."""
    try:
        if arguments[:1] == ["proof"] and len(arguments) == 4:
            policy = Policy(Path(arguments[1]).read_bytes())
            origin, index, size, root = verify_proof(
                Path(arguments[2]).read_bytes(), Path(arguments[3]).read_bytes(), policy
            )
            print(f"in log {origin.decode()} at index {index} of {size} leaves, root {root.hex()}")
        elif arguments[:1] == ["checkpoint"] and len(arguments) == 3:
            policy = Policy(Path(arguments[1]).read_bytes())
            origin, size, root = verify_checkpoint(Path(arguments[2]).read_bytes(), policy)
            print(f"log {origin.decode()} has {size} leaves, root {root.hex()}, before a quorum")
        elif arguments[:1] == ["evidence"] and len(arguments) == 3:
            verify_evidence(Path(arguments[2]).read_bytes(), Policy(Path(arguments[1]).read_bytes()))
            print("the log signed two trees that cannot both be honest")
        elif arguments[:1] == ["policy"] and len(arguments) == 2:
            policy = Policy(Path(arguments[1]).read_bytes())
            print(
                f"{len(policy.logs)} logs, {len(policy.witnesses)} witnesses, quorum {policy.quorum.decode()}"
            )
        elif arguments[:1] == ["note"] and len(arguments) == 3:
            verify_note(Path(arguments[2]).read_bytes(), Key(arguments[1].encode()))
            print("signed by the key")
        elif arguments[:1] == ["log"] and len(arguments) == 4:
            folder = Path(arguments[3])
            verify_log(
                int(arguments[1]), bytes.fromhex(arguments[2]), lambda path: (folder / path).read_bytes()
            )
            print("every entry and tile leads to the root")
        else:
            print(__doc__)
            return 2
    except Refused as why:
        print(f"refused: {why}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
