"""What the region's handlers stand on: its keys, clock, random bytes, rules; made once by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.envelope import Signer, build_header
from tanqiao.signing.verify import Verifier
from tanqiao_region.application.secrets import NodeSecrets
from tanqiao_region.domain.rules.facts import Recognition
from tanqiao_region.domain.rules.pack import RulePack

BRIDGE = "bridge"

RandomBytes = Callable[[int], bytes]


@dataclass(slots=True)
class RegionContext:
    """The node's own things.

    Args:
        network_id: of every header.
        region_code: GB/T 2260 code of this region.
        signer: the node's message key.
        clock: wall clock or test clock; its day in Asia/Shanghai is the legal date.
        random_bytes: source of ids, salts and addresses.
        secrets: what makes pseudonyms and seals personal data.
        pack: rules in force on a legal date.
        incarnation: of this node; numbered traffic belongs to it.
        directory: keys known now; replaced as a whole by the writer after a commit.
        verifier: opens what others signed.
        recognitions: recognition records by (from region code, to region code); replaced likewise.
        applied_log_index: highest index of the bridge's log that has taken effect here; -1 before the first.
        recovering: whether the bridge knows more of this node than it does itself: it serves reads only.
        issue_settlements: told inside the transaction how an issuance ended (`issue_offers.IssueSettlement`).
    """

    network_id: str
    region_code: str
    signer: Signer
    clock: Clock
    random_bytes: RandomBytes
    secrets: NodeSecrets
    pack: Callable[[date], RulePack]
    incarnation: int
    directory: KeyDirectory
    verifier: Verifier
    recognitions: Mapping[tuple[str, str], tuple[Recognition, ...]] = field(default_factory=dict)
    applied_log_index: int = -1
    recovering: bool = False
    issue_settlements: list[Callable[..., None]] = field(default_factory=list)

    @property
    def party(self) -> str:
        """Name of this node's party."""
        return self.signer.owner

    def now(self) -> datetime:
        """Give the present moment in UTC."""
        return self.clock.now()

    def header(
        self,
        audience: tuple[str, ...],
        *,
        message_id: bytes | None = None,
        source: str = "",
        transfer_id: bytes = b"",
        prev_hash: bytes = b"",
        rules_digest: bytes = b"",
    ) -> envelope_pb2.Header:
        """Give the header of a message of this node; a fresh message id unless one is given."""
        return build_header(
            self.signer,
            network_id=self.network_id,
            audience=audience,
            message_id=self.random_bytes(ID_BYTES) if message_id is None else message_id,
            source=source,
            transfer_id=transfer_id,
            prev_hash=prev_hash,
            rules_digest=rules_digest,
        )
