"""What the node's one writer is asked to do.

Hot commands carry lists and are loaded, applied and written for the whole group at once; a `Work` is any
other command: it runs alone, in its place among the others, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import DecisionFacts, Kind, PrepareFacts
from tanqiao.signing.verify import Opened

if TYPE_CHECKING:  # a work is given the group that runs it
    from tanqiao_region.application.group import Group
    from tanqiao_region.application.papers import OwnPapers

Answer = TypeVar("Answer")


@record
class By:
    """Who asks: the party on the line and its role in the rule pack."""

    party: str
    role: str


@record
class Selection:
    """Which units: exact blocks, or a quantity, lowest serials first, of one series or of any."""

    series_id: str = ""
    quantity_kg: int = 0
    blocks: tuple[UnitBlock, ...] = ()

    @property
    def total_kg(self) -> int:
        """Quantity that is asked for, however it is named."""
        return self.quantity_kg or sum(block.end - block.start for block in self.blocks)


@record
class LocalOrder:
    """Move units between two accounts of this region."""

    request: ClientRequest
    by: By
    from_account_id: str
    to_account_id: str
    selection: Selection
    settlement_reference: str = ""
    validate_only: bool = False
    agent_account_id: str = ""


@record
class LocalTransfers:
    """Moves inside the region, in order."""

    orders: tuple[LocalOrder, ...]


@record
class TransferOrder:
    """Lock units for a transfer to another region."""

    request: ClientRequest
    by: By
    from_account_id: str
    destination: str
    receiving_address: str
    selection: Selection
    purpose: str = ""
    validate_only: bool = False


@record
class CreateTransfers:
    """Transfers to other regions, in order; single calls and batches share this."""

    orders: tuple[TransferOrder, ...]


@record
class UseOrder:
    """Retire or cancel units.

    Of a cancellation `purpose_text` is the reason, and `cancellation` the request that two officers approve.
    """

    request: ClientRequest
    by: By
    kind: Kind
    account_id: str
    selection: Selection
    purpose: str = ""
    purpose_text: str = ""
    beneficiary_name: str = ""
    beneficiary_uscc: str = ""
    pseudonymous: bool = False
    document_reference: str = ""
    document_digest: bytes = b""
    compliance_year: int = 0
    cancellation: ledger_pb2.CancelUnitsRequest | None = None
    validate_only: bool = False


@record
class CreateUses:
    """Retirements and cancellations, in order."""

    orders: tuple[UseOrder, ...]


@record
class Frame:
    """A signed batch as received: its signature is kept once for all items that have an effect."""

    batch: envelope_pb2.EnvelopeBatch
    papers: Mapping[int, OwnPapers] = field(default_factory=dict)
    """What travelled beside the items, by their position, while this node recovers."""
    envelope: envelope_pb2.Envelope | None = None
    """Set where the message came inside of another: it stands under a signature of its own."""
    hashes: Sequence[bytes] = ()
    """Message hashes of all items where the batch was verified: nobody has to hash it again."""


class PrepareItem(NamedTuple):
    """A Prepare that was opened with the LockAssertion in it, and what travelled beside it.

    `opening_refusal` says why the openings do not fit the lock's commitments, if they do not.
    """

    facts: PrepareFacts
    prepare: Opened
    lock: Opened
    companion: bytes
    receiving_address: str
    opening_refusal: DomainError | None = None


@record
class ApplyPrepares:
    """Prepares of one frame, in order."""

    frame: Frame
    items: tuple[PrepareItem, ...]


class DecisionItem(NamedTuple):
    """A Decision that was opened."""

    facts: DecisionFacts
    opened: Opened


@record
class Unacceptable:
    """A numbered message that does not verify or cannot be read: kept, and answered with a Nack."""

    message_hash: bytes
    payload: bytes
    refusal: DomainError


class AdoptedItem(NamedTuple):
    """A Decision of an epoch before that a leaf of the present one names (`AdoptedNotice`)."""

    decision: DecisionItem
    frame: Frame


NumberedItem = DecisionItem | AdoptedItem | Opened | Unacceptable


@record
class TakeNumbered:
    """A numbered frame of the bridge: one type of message, dense numbers from `first_number`."""

    frame: Frame
    incarnation: int
    first_number: int
    items: tuple[NumberedItem, ...]


@record
class Work(Generic[Answer]):
    """Any other command: runs with the group's transaction; a DomainError undoes what it alone wrote."""

    run: Callable[[Group], Answer]


@record
class MovedLocally:
    """Answer to a local order."""

    blocks: tuple[UnitBlock, ...]
    journal_index: int


@record
class Locked:
    """Answer to a transfer order: what is locked; an empty id if the order was only validated."""

    transfer_id: bytes
    blocks: tuple[UnitBlock, ...]
    created_at: int


@record
class Retiring:
    """Answer to a use order; an empty id if it was only validated."""

    transfer_id: bytes
    blocks: tuple[UnitBlock, ...]


@record
class Received:
    """Answer to a numbered frame: up to which number of which incarnation everything is durable."""

    incarnation: int
    up_to_number: int


HotCommand = LocalTransfers | CreateTransfers | CreateUses | ApplyPrepares | TakeNumbered
Command = HotCommand | Work[object]
