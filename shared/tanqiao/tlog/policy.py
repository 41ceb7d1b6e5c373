"""Policies (C2SP tlog-policy): which logs, which witnesses, and how many of them make a checkpoint final.

A policy file is the one thing that an outsider must have from somebody it trusts; all else is checked against
it. It is a line-based file of logs, witnesses, groups and one quorum. Names are opaque: bytes that are not
UTF-8 are carried as surrogate escapes and compared byte for byte.

One thing C2SP does not have: when the witnesses of a log are replaced, the line ``from SIZE`` begins what
counts for checkpoints of that size and more: other witnesses, groups and a quorum of their own, under the
same logs. Who knows C2SP alone refuses such a file there, and does not read it otherwise than it was meant.

Stricter than C2SP on three points, each because a policy that reads otherwise than it was meant is worse than
none: the last line must be terminated (a cut-off file could end in ``quorum none``), a log and a witness must
not share a key, and every member of a quorum has a key type that is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint
from tanqiao.tlog.cosignature import Cosignature, verify_cosignatures
from tanqiao.tlog.encoding import decode_decimal
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import KeyType, VerifierKey, parse_verifier_key
from tanqiao.tlog.note import Note

__all__ = [
    "QUORUM_NONE",
    "Group",
    "Policy",
    "PolicyLog",
    "PolicyWitness",
    "VerifiedCheckpoint",
    "federation_policy",
    "parse_policy",
    "require_federation_quorum",
    "satisfied",
    "verify_checkpoint",
]

MAX_POLICY_BYTES: Final = 256 * 1024
MAX_LOGS: Final = 64  # C2SP recommends that at least 32 of each are supported
MAX_WITNESSES: Final = 256
MAX_GROUPS: Final = 256
MAX_NAME_CHARACTERS: Final = 255
MAX_SECTIONS: Final = 64
QUORUM_NONE: Final = "none"

_WORDS: Final = re.compile(r"[^ \t]+")
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_MAX_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose checkpoints are accepted; the name of its key is its origin."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness under the name by which groups and quorum refer to it."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses a checkpoint when at least `threshold` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint that satisfies a policy, and who answers for it."""

    checkpoint: Checkpoint
    note: Note
    witnesses: Mapping[str, Cosignature]
    """Witness name of the policy -> its newest verified cosignature."""


@dataclass(frozen=True)
class Policy:
    """Accepted logs, known witnesses, and the quorum.

    Raises:
        TlogError: a policy reason, when the parts do not fit together.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[Group, ...]
    quorum: str
    later: tuple[tuple[int, Policy], ...] = ()
    """What counts instead from a size on, in ascending order: policies of the same logs."""
    _groups_by_name: Mapping[str, Group] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_keys(self)
        _check_names(self)
        _check_later(self)
        by_name = MappingProxyType({group.name: group for group in self.groups})
        object.__setattr__(self, "_groups_by_name", by_name)

    @property
    def needs_witnesses(self) -> bool:
        """Whether any cosignature is needed at all."""
        return self.quorum != QUORUM_NONE

    @property
    def quorum_size(self) -> int:
        """The smallest number of witnesses that can satisfy the quorum."""
        return self._fewest(self.quorum) if self.needs_witnesses else 0

    def at(self, size: int) -> Policy:
        """Give what counts for a checkpoint of a size."""
        counting = self
        for from_size, policy in self.later:
            if from_size <= size:
                counting = policy
        return counting

    @property
    def every_witness(self) -> tuple[PolicyWitness, ...]:
        """Every witness of any size, once for each key."""
        found: dict[VerifierKey, PolicyWitness] = {}
        for policy in (self, *(policy for _, policy in self.later)):
            for witness in policy.witnesses:
                found.setdefault(witness.key, witness)
        return tuple(found.values())

    def is_quorum(self, names: Collection[str]) -> bool:
        """Say whether the witnesses with these names satisfy the quorum together."""
        return not self.needs_witnesses or self._witnessed(self.quorum, frozenset(names))

    def encode(self) -> bytes:
        """Write the policy in the plain form; reading it gives an equal policy."""
        lines = [_line("log", log.key.encode(), log.url) for log in self.logs]
        lines += self._rules()
        for from_size, policy in self.later:
            lines += [_line("from", str(from_size)), *policy._rules()]  # noqa: SLF001 - of this class
        return "".join(lines).encode("utf-8", "surrogateescape")

    def _rules(self) -> list[str]:
        lines = [_line("witness", w.name, w.key.encode(), w.url) for w in self.witnesses]
        lines += [_line("group", g.name, str(g.threshold), *g.members) for g in self.groups]
        return [*lines, _line("quorum", self.quorum)]

    def _witnessed(self, name: str, names: frozenset[str]) -> bool:
        # Groups refer only to earlier names and each name to one group: the recursion is a tree walk.
        group = self._groups_by_name.get(name)
        if group is None:
            return name in names
        return sum(self._witnessed(member, names) for member in group.members) >= group.threshold

    def _fewest(self, name: str) -> int:
        group = self._groups_by_name.get(name)
        if group is None:
            return 1
        return sum(sorted(self._fewest(member) for member in group.members)[: group.threshold])


def parse_policy(data: bytes) -> Policy:
    """Read a policy file strictly.

    Raises:
        TlogError: a policy or key reason, the number of the line in the detail where one line is at fault.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise TlogError("POLICY_TOO_LARGE", f"{len(data)} bytes")
    if _FORBIDDEN.search(data):
        raise TlogError("POLICY_CHARACTER")
    if not data.endswith(b"\n"):
        raise TlogError("POLICY_NOT_TERMINATED")
    draft = _Draft()
    for number, line in enumerate(data[:-1].decode("utf-8", "surrogateescape").split("\n"), 1):
        words = _WORDS.findall(line)
        if words and not words[0].startswith("#"):
            try:
                draft.read(words)
            except TlogError as error:
                raise TlogError(error.reason, f"line {number}: {error.detail}") from None
    return draft.finish()


def verify_checkpoint(data: bytes, policy: Policy) -> VerifiedCheckpoint:
    """Verify a signed checkpoint against a policy: a listed log signed it and a quorum cosigned it.

    Raises:
        TlogError: `LOG_UNKNOWN`, `CHECKPOINT_ORIGIN_WRONG`, `NOTE_SIGNATURE_WRONG`, `QUORUM_NOT_REACHED`, and
            the reasons of notes, checkpoints and cosignatures.
    """
    checkpoint, note = open_checkpoint(data, *(log.key for log in policy.logs))
    policy = policy.at(checkpoint.size)
    found = verify_cosignatures(note, tuple(witness.key for witness in policy.witnesses))
    names = {witness.key: witness.name for witness in policy.witnesses}
    newest: dict[str, Cosignature] = {}
    for cosignature in sorted(found, key=lambda one: one.time_seconds):
        newest[names[cosignature.key]] = cosignature
    if not policy.is_quorum(newest):
        raise TlogError("QUORUM_NOT_REACHED", f"{len(newest)} cosigned, at least {policy.quorum_size} needed")
    return VerifiedCheckpoint(checkpoint, note, MappingProxyType(newest))


def satisfied(data: bytes, policy: Policy) -> bool:
    """Say whether the signed checkpoint is acceptable under the policy; `verify_checkpoint` says why not."""
    try:
        verify_checkpoint(data, policy)
    except TlogError:
        return False
    return True


def federation_policy(logs: Sequence[VerifierKey], witnesses: Sequence[tuple[str, VerifierKey]]) -> Policy:
    """Make the federation's policy: the smallest majority of these witnesses (PROTOCOL section 8).

    Raises:
        TlogError: `POLICY_QUORUM_WEAK` for fewer than three witnesses, and the policy reasons.
    """
    names = tuple(name for name, _ in witnesses)
    policy = Policy(
        tuple(PolicyLog(key) for key in logs),
        tuple(PolicyWitness(name, key) for name, key in witnesses),
        (Group("quorum", len(names) // 2 + 1, names),) if names else (),
        "quorum" if names else QUORUM_NONE,
    )
    require_federation_quorum(policy)
    return policy


def require_federation_quorum(policy: Policy) -> None:
    """Refuse a quorum that half of the listed witnesses could reach, or that only all of them can.

    Raises:
        TlogError: `POLICY_QUORUM_WEAK`.
    """
    for counting in (policy, *(later for _, later in policy.later)):
        count = len(counting.witnesses)
        if not count < 2 * counting.quorum_size < 2 * count:
            raise TlogError("POLICY_QUORUM_WEAK", f"{counting.quorum_size} of {count}")


class _Draft:
    """Reads lines in their order: a name can be used only below its definition."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: list[PolicyWitness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._defined: set[str] = set()
        self._from_size = 0
        self._sections: list[tuple[int, Policy]] = []

    def read(self, words: Sequence[str]) -> None:
        readers: Mapping[str, Callable[[Sequence[str]], None]] = {
            "log": self._read_log,
            "witness": self._read_witness,
            "group": self._read_group,
            "quorum": self._read_quorum,
            "from": self._read_from,
        }
        reader = readers.get(words[0])
        if reader is None:
            raise TlogError("POLICY_KEYWORD", ascii(words[0][:_MAX_SHOWN_CHARACTERS]))
        reader(words[1:])

    def finish(self) -> Policy:
        self._end_section()
        (_, first), *later = self._sections
        return replace(first, later=tuple(later))

    def _end_section(self) -> None:
        if self.quorum is None:
            raise TlogError("POLICY_QUORUM", "no quorum line")
        policy = Policy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), self.quorum)
        self._sections.append((self._from_size, policy))

    def _read_from(self, words: Sequence[str]) -> None:
        _check_words("from", words, 1, 1)
        size = decode_decimal(words[0])
        if size is None or size <= self._from_size:
            raise TlogError("POLICY_FROM", ascii(words[0][:_MAX_SHOWN_CHARACTERS]))
        self._end_section()
        if len(self._sections) == MAX_SECTIONS:
            raise TlogError("POLICY_TOO_MANY", f"more than {MAX_SECTIONS} sections")
        self._from_size = size
        self.witnesses, self.groups, self.quorum, self._defined = [], [], None, set()

    def _read_log(self, words: Sequence[str]) -> None:
        _check_words("log", words, 1, 2)
        if self._from_size:
            raise TlogError("POLICY_LINE", "a log below from: all sizes are of the same logs")
        self.logs.append(PolicyLog(parse_verifier_key(words[0]), words[1] if len(words) > 1 else None))

    def _read_witness(self, words: Sequence[str]) -> None:
        _check_words("witness", words, 2, 3)
        url = words[2] if words[2:] else None
        self.witnesses.append(PolicyWitness(words[0], parse_verifier_key(words[1]), url))
        self._define(words[0])

    def _read_group(self, words: Sequence[str]) -> None:
        _check_words("group", words, 3, None)
        name, rule, members = words[0], words[1], tuple(words[2:])
        for member in members:
            self._check_defined(member)
        threshold = {"any": 1, "all": len(members)}.get(rule, decode_decimal(rule))
        if threshold is None:
            raise TlogError("POLICY_THRESHOLD", ascii(rule[:_MAX_SHOWN_CHARACTERS]))
        self.groups.append(Group(name, threshold, members))
        self._define(name)

    def _read_quorum(self, words: Sequence[str]) -> None:
        _check_words("quorum", words, 1, 1)
        if self.quorum is not None:
            raise TlogError("POLICY_QUORUM", "a second quorum line")
        if words[0] != QUORUM_NONE:
            self._check_defined(words[0])
        self.quorum = words[0]

    def _check_defined(self, name: str) -> None:
        if name not in self._defined:
            raise TlogError("POLICY_NAME_UNKNOWN", ascii(name[:_MAX_SHOWN_CHARACTERS]))

    def _define(self, name: str) -> None:
        # Refused here for the line number; `Policy` checks again for policies that were not read.
        if name == QUORUM_NONE:
            raise TlogError("POLICY_NAME_RESERVED")
        if name in self._defined:
            raise TlogError("POLICY_NAME_TWICE", ascii(name[:_MAX_SHOWN_CHARACTERS]))
        self._defined.add(name)


def _check_words(keyword: str, words: Sequence[str], fewest: int, most: int | None) -> None:
    if len(words) < fewest or (most is not None and len(words) > most):
        raise TlogError("POLICY_LINE", f"{len(words)} words after {keyword}")


def _line(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None) + "\n"


def _check_counts(policy: Policy) -> None:
    for what, count, most in (
        ("logs", len(policy.logs), MAX_LOGS),
        ("witnesses", len(policy.witnesses), MAX_WITNESSES),
        ("groups", len(policy.groups), MAX_GROUPS),
    ):
        if count > most:
            raise TlogError("POLICY_TOO_MANY", f"{count} {what}")


def _check_keys(policy: Policy) -> None:
    lines = [(log.key, KeyType.ED25519) for log in policy.logs]
    lines += [(witness.key, KeyType.COSIGNATURE_V1) for witness in policy.witnesses]
    seen: set[bytes] = set()
    for key, wanted in lines:
        if key.type is not wanted:
            raise TlogError("KEY_TYPE", f"{key.name} has type 0x{int(key.type):02x}")
        if key.public_key in seen:
            raise TlogError("POLICY_KEY_TWICE", key.name)
        seen.add(key.public_key)


def _check_later(policy: Policy) -> None:
    if len(policy.later) >= MAX_SECTIONS:
        raise TlogError("POLICY_TOO_MANY", f"more than {MAX_SECTIONS} sections")
    before = 0
    for size, later in policy.later:
        if size <= before:
            raise TlogError("POLICY_FROM", str(size))
        if later.logs != policy.logs or later.later:
            raise TlogError("POLICY_LINE", "all sizes are of the same logs")
        before = size


def _check_names(policy: Policy) -> None:
    defined = {witness.name for witness in policy.witnesses}
    if len(defined) != len(policy.witnesses):
        raise TlogError("POLICY_NAME_TWICE", "of a witness")
    used: set[str] = set()
    for group in policy.groups:
        if not 1 <= group.threshold <= len(group.members):
            raise TlogError("POLICY_THRESHOLD", f"{group.threshold} of {len(group.members)}")
        for member in group.members:
            if member not in defined:
                raise TlogError("POLICY_NAME_UNKNOWN", ascii(member[:_MAX_SHOWN_CHARACTERS]))
            if member in used:
                raise TlogError("POLICY_MEMBER_TWICE", ascii(member[:_MAX_SHOWN_CHARACTERS]))
            used.add(member)
        if group.name in defined:
            raise TlogError("POLICY_NAME_TWICE", ascii(group.name[:_MAX_SHOWN_CHARACTERS]))
        defined.add(group.name)
    if QUORUM_NONE in defined:
        raise TlogError("POLICY_NAME_RESERVED")
    if any(len(name) > MAX_NAME_CHARACTERS or not _WORDS.fullmatch(name) for name in defined):
        raise TlogError("POLICY_LINE", "a name is empty, too long or has a space")
    if policy.quorum != QUORUM_NONE and policy.quorum not in defined:
        raise TlogError("POLICY_NAME_UNKNOWN", ascii(policy.quorum[:_MAX_SHOWN_CHARACTERS]))
