"""The policy of a network as it stands now: its own file, and what came later in keys and in witnesses.

Whoever asks believes the file that he has. Later keys count by the signature of a root, other witnesses by a
checkpoint of those before them or by every root; the bridge that hands this out is not believed. It could
keep back what is newest: then a proof of that time does not hold, and nothing false does.
"""

from __future__ import annotations

from collections.abc import Iterable

from tanqiao.api.bridge.v1 import directory_pb2, witness_groups_pb2
from tanqiao.client.servers import BridgeClient
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.federation import Federation, open_key_record
from tanqiao.signing.logs import written_policy
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.verify import Verifier
from tanqiao.tlog.policy import Policy
from tanqiao.witnessing.groups import KnownGroups

__all__ = ["later_keys", "policy_now"]

INDEX_MAX = (1 << 62) - 1


def policy_now(federation: Federation, bridge: BridgeClient) -> Policy:
    """Give the policy of the bridge's log, with every change of keys and of witnesses that is proven.

    Raises:
        TlogError: a change of the witnesses that is shown and does not hold.
        DomainError: the bridge cannot be reached; SETTING_INVALID if too few witnesses have a key.
    """
    answer = bridge.directory.ListKeys(directory_pb2.ListKeysRequest())
    directory = later_keys(federation, answer.keys)

    def changes(after_index: int) -> list[witness_groups_pb2.WitnessGroupChange]:
        request = witness_groups_pb2.ListWitnessGroupsRequest(after_log_index=after_index)
        return list(bridge.witness_groups.ListWitnessGroups(request).changes)

    known = KnownGroups(federation.network_id, federation.witness_group, lambda: directory, changes)
    return written_policy(federation.network_id, directory, known.renew())


def later_keys(federation: Federation, shown: Iterable[directory_pb2.KeyEntry]) -> KeyDirectory:
    """Give the keys of the file and those of later records that a root has signed; others are passed over."""
    directory = federation.directory()
    verifier = Verifier(federation.network_id, BRIDGE)
    waiting = [one.record for one in shown if one.HasField("record")]
    is_new = True
    while is_new:  # a root may have signed the next one, which signed the rest
        is_new = False
        for envelope in tuple(waiting):
            roots = [directory.get(signature.key_id) for signature in envelope.signatures]
            if not roots or any(root is None or root.role is not KeyRole.ROOT for root in roots):
                continue
            waiting.remove(envelope)
            ends = [root.valid_to_index for root in roots if root and root.valid_to_index]
            try:
                # The log says when a root signed; it counts for as long as it is valid itself.
                record = open_key_record(verifier, envelope, directory, at_index=min([*ends, INDEX_MAX]) - 1)
                directory = directory.with_records([record])
            except DomainError:
                continue
            is_new = True
    return directory
