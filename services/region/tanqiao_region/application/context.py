"""What the region's handlers stand on: its keys, clock, random bytes, rules; made once by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.protocol.recovery import FIRST_EPOCH, EpochStart
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.envelope import Signer, build_header
from tanqiao.signing.own_keys import OwnKeys
from tanqiao.signing.verify import Verifier
from tanqiao_region.application.alarms import Alarms
from tanqiao_region.application.pending import Pending
from tanqiao_region.application.published_pack import PublishedPack
from tanqiao_region.application.secrets import NodeSecrets
from tanqiao_region.application.tokens import TokenBook
from tanqiao_region.application.undecided import Undecided
from tanqiao_region.domain.rules.facts import Recognition

BRIDGE = "bridge"

RandomBytes = Callable[[int], bytes]


@dataclass(slots=True)
class RegionContext:
    """The node's own things.

    Args:
        network_id: of every header.
        region_code: GB/T 2260 code of this region.
        signer: the node's message key that signs now.
        own_keys: its ring, from which `signer` changes when a new key begins; without it the key stays.
        bridge_log_size: size of the bridge's log as its last Hello gave it.
        clock: wall clock or test clock; its day in Asia/Shanghai is the legal date.
        random_bytes: source of ids, salts and addresses.
        secrets: what makes pseudonyms and seals personal data.
        pack: rules in force on a legal date; replaced by the writer when a value is published.
        incarnation: of this node; numbered traffic belongs to it.
        directory: keys known now; replaced as a whole by the writer after a commit.
        verifier: opens what others signed.
        recognitions: recognition records by (from region code, to region code); replaced likewise.
        applied_log_index: highest index of the bridge's log that has taken effect here; -1 before the first.
        recovering: whether the node was restored from an old backup: it serves reads only.
        epoch_start: where the bridge's present epoch continues from.
        pending: which decisions await the quorum of witnesses (R10).
        tokens: by which claims name persons, households and vehicles; None: such claims are refused.
        undecided: promises that await their decision, so that they are not read again.
        alarms: what a person must see in the node's status.
        issue_settlements: told inside the transaction how an issuance ended (`issue_offers.IssueSettlement`).
    """

    network_id: str
    region_code: str
    signer: Signer
    clock: Clock
    random_bytes: RandomBytes
    secrets: NodeSecrets
    pack: PublishedPack
    incarnation: int
    directory: KeyDirectory
    verifier: Verifier
    recognitions: Mapping[tuple[str, str], tuple[Recognition, ...]] = field(default_factory=dict)
    applied_log_index: int = -1
    recovering: bool = False
    epoch_start: EpochStart = FIRST_EPOCH
    pending: Pending = field(default_factory=lambda: Pending(0))
    issue_settlements: list[Callable[..., None]] = field(default_factory=list)
    own_keys: OwnKeys | None = None
    bridge_log_size: int = 0
    tokens: TokenBook | None = None
    undecided: Undecided = field(default_factory=Undecided)
    alarms: Alarms = field(default_factory=Alarms)

    def alarm(self, refusal: DomainError) -> None:
        """Note what a person must see in the node's status."""
        self.alarms.note(refusal, self.now())

    @property
    def known_index(self) -> int:
        """The bridge's log index as far as it is known: keys of messages that name none are judged at it."""
        return max(self.applied_log_index + 1, self.bridge_log_size)

    def runs(self, payload_type: str, payloads: Sequence[bytes]) -> Iterator[tuple[int, int, Signer]]:
        """Cut payloads into runs that one key signs: (start, end, key)."""
        if self.own_keys is None:
            yield 0, len(payloads), self.signer
        else:
            yield from self.own_keys.runs(payload_type, payloads)

    def signer_of(self, payload_type: str, payload: bytes) -> Signer:
        """Give the key whose epoch the payload's header names."""
        return self.signer if self.own_keys is None else self.own_keys.signer_of(payload_type, payload)

    def renew_signer(self, *, directory_changed: bool) -> None:
        """Take the key that is valid now; called by the writer alone, between two groups."""
        if self.own_keys is not None and (directory_changed or self.own_keys.is_due(self.known_index)):
            self.signer = self.own_keys.choose(self.directory, self.known_index)

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
