"""Names and keys of the federation's logs and witnesses, from the key directory to signed notes.

The log of a party is named ``<network id>/<party>``; its checkpoints are signed with the party's key of role
CHECKPOINT. A witness cosigns under the same form of name with its key of role WITNESS. Only Ed25519 keys sign
notes: C2SP knows no other suite that this network uses.
"""

from __future__ import annotations

from collections.abc import Iterable

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.parties import BRIDGE
from tanqiao.tlog.keys import KeyType, NoteSigner, VerifierKey
from tanqiao.tlog.policy import QUORUM_NONE, Group, Policy, PolicyLog, PolicyWitness

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


def witness_keys(network_id: str, directory: KeyDirectory, parties: Iterable[str]) -> dict[str, VerifierKey]:
    """Give the newest key of each witness that has one."""
    found: dict[str, VerifierKey] = {}
    for party in parties:
        for entry in directory.owned_by(party, KeyRole.WITNESS):
            if not entry.revoked and entry.valid_to_index is None:
                found[party] = note_key(network_id, entry)
    return found


def witness_policy(
    network_id: str, directory: KeyDirectory, group: WitnessGroup, log_party: str = BRIDGE
) -> Policy:
    """Give the policy under which a log's checkpoint is final: the group's quorum cosigned it.

    Raises:
        DomainError: SETTING_INVALID if a witness of the group has no key in the directory.
    """
    keys = witness_keys(network_id, directory, group.witnesses)
    missing = [party for party in group.witnesses if party not in keys]
    if missing:
        detail = f"no witness key of {', '.join(missing)}"
        raise DomainError("SETTING_INVALID", setting="witness_group", detail=detail)
    witnesses = tuple(PolicyWitness(party, keys[party]) for party in group.witnesses)
    return Policy(
        tuple(PolicyLog(key) for key in checkpoint_keys(network_id, directory, log_party)),
        witnesses,
        (Group("quorum", group.quorum, group.witnesses),) if witnesses else (),
        "quorum" if witnesses else QUORUM_NONE,
    )
