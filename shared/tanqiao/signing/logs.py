"""Names and keys of the federation's logs and witnesses, from the key directory to signed notes.

The log of a party is named ``<network id>/<party>``; its checkpoints are signed with the party's key of role
CHECKPOINT. A witness cosigns under the same form of name with its key of role WITNESS. Only Ed25519 keys sign
notes: C2SP knows no other suite that this network uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao.tlog.keys import KeyType, NoteSigner, VerifierKey
from tanqiao.tlog.policy import MAX_SECTIONS, QUORUM_NONE, Group, Policy, PolicyLog, PolicyWitness

_TYPES = {KeyRole.CHECKPOINT: KeyType.ED25519, KeyRole.WITNESS: KeyType.COSIGNATURE_V1}


def log_name(network_id: str, party: str) -> str:
    """Give the origin line of a party's log, which is also the name under which a witness cosigns."""
    return f"{network_id}/{party}"


def note_key(network_id: str, entry: KeyEntry) -> VerifierKey:
    """Give the verifier key of a CHECKPOINT or WITNESS key."""
    return VerifierKey(log_name(network_id, entry.owner), _TYPES[entry.role], entry.public_key)


def note_signer(network_id: str, keyring: Keyring, role: KeyRole) -> NoteSigner | None:
    """Give what signs notes for a party; None if its ring has no key of the role."""
    try:
        key = keyring.key(role)
    except DomainError as refusal:
        if refusal.symbol == "NOT_FOUND":
            return None
        raise
    return NoteSigner(note_key(network_id, key.entry()), key.signer.sign)


def checkpoint_keys(network_id: str, directory: KeyDirectory, party: str) -> tuple[VerifierKey, ...]:
    """Give the keys with which a party's log may be signed, newest last; a revoked one counts no more."""
    return tuple(
        note_key(network_id, entry)
        for entry in directory.owned_by(party, KeyRole.CHECKPOINT)
        if not entry.revoked
    )


def witness_keys(
    network_id: str, directory: KeyDirectory, parties: Iterable[str], size: int | None = None
) -> dict[str, tuple[VerifierKey, ...]]:
    """Give the keys under which each witness's cosignatures count, oldest first; who has none is left out.

    Args:
        network_id: part of the name of every log.
        directory: the keys as they are known.
        parties: witnesses.
        size: of the tree that was cosigned: keys that are valid at its last leaf; None: every key that has no
            end, for a policy that is written down.
    """
    found: dict[str, tuple[VerifierKey, ...]] = {}
    for party in parties:
        keys = tuple(
            note_key(network_id, entry)
            for entry in directory.owned_by(party, KeyRole.WITNESS)
            if not entry.revoked
            and (entry.valid_to_index is None if size is None else entry.valid_at(max(0, size - 1)))
        )
        if keys:
            found[party] = keys
    return found


def witness_policy(
    network_id: str,
    directory: KeyDirectory,
    group: WitnessGroup,
    log_party: str = BRIDGE,
    *,
    size: int | None = None,
) -> Policy:
    """Give the policy under which a log's checkpoint of a size is final: the group's quorum cosigned it.

    While one key of a witness follows another both count, as one: the newest under the party's name, an older
    one under that with a number. A witness whose keys were all revoked cosigns nothing; the others may be a
    quorum without it.

    Raises:
        DomainError: SETTING_INVALID if fewer witnesses than the quorum have a key in the directory.
    """
    keys = witness_keys(network_id, directory, group.witnesses, size)
    if len(keys) < group.quorum:
        detail = f"no witness key of {', '.join(party for party in group.witnesses if party not in keys)}"
        raise DomainError("SETTING_INVALID", setting="witness_group", detail=detail)
    witnesses: list[PolicyWitness] = []
    groups: list[Group] = []
    members: list[str] = []
    for party, (*older, newest) in keys.items():
        named = [PolicyWitness(party, newest)]
        named += [PolicyWitness(f"{party}#{number}", key) for number, key in enumerate(older, 1)]
        witnesses += named
        members.append(f"{party}#keys" if older else party)
        if older:
            groups.append(Group(members[-1], 1, tuple(one.name for one in named)))
    return Policy(
        tuple(PolicyLog(key) for key in checkpoint_keys(network_id, directory, log_party)),
        tuple(witnesses),
        (*groups, Group("quorum", group.quorum, tuple(members))) if witnesses else (),
        "quorum" if witnesses else QUORUM_NONE,
    )


def written_policy(
    network_id: str, directory: KeyDirectory, groups: WitnessGroups, log_party: str = BRIDGE
) -> Policy:
    """Give the policy of a log for readers who keep it: which witnesses and which keys at which size.

    Where more changes than a policy has room for are known, the oldest are left out.

    Raises:
        DomainError: SETTING_INVALID if at some size fewer witnesses than the quorum have a key.
    """
    sizes = {0, *(change.from_size for change in groups.changes)}
    for witness in groups.every_witness:
        for entry in directory.owned_by(witness, KeyRole.WITNESS):
            if not entry.revoked:
                sizes |= {index + 1 for index in (entry.valid_from_index, entry.valid_to_index) if index}
    sections: list[tuple[int, Policy]] = []
    for size in sorted(sizes):
        policy = witness_policy(network_id, directory, groups.at(size), log_party, size=size)
        if not sections or policy != sections[-1][1]:
            sections.append((size, policy))
    (_, first), *later = sections[-MAX_SECTIONS:]
    return replace(first, later=tuple(later))
