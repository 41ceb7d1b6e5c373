"""What the kit asks a region's people to do: give orders over the region's own public interface."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import accounts_pb2, accounts_pb2_grpc, ledger_pb2, ledger_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.certificates import TlsFiles

CALL_SECONDS_MAX: Final = 20.0
RESTART_SECONDS_MAX: Final = 120.0
STATES: Final = {
    ledger_pb2.TRANSFER_STATE_LOCKED: "LOCKED",
    ledger_pb2.TRANSFER_STATE_MOVED: "MOVED",
    ledger_pb2.TRANSFER_STATE_RELEASED: "RELEASED",
    ledger_pb2.TRANSFER_STATE_READY: "READY",
    ledger_pb2.TRANSFER_STATE_REFUSED: "REFUSED",
    ledger_pb2.TRANSFER_STATE_CREDITED: "CREDITED",
    ledger_pb2.TRANSFER_STATE_DROPPED: "DROPPED",
}
USE_STATES: Final = {
    ledger_pb2.USE_STATE_RETIRING: "RETIRING",
    ledger_pb2.USE_STATE_USED: "USED",
    ledger_pb2.USE_STATE_CANCELLED: "CANCELLED",
    ledger_pb2.USE_STATE_RETURNED: "RELEASED",
}
FINALITIES: Final = {
    values_pb2.FINALITY_PENDING: "PENDING",
    values_pb2.FINALITY_QUORUM: "QUORUM",
    values_pb2.FINALITY_COMMIT: "COMMIT",
}


class Orders(Protocol):
    """Orders to the region under test. Each raises DomainError where the region refuses."""

    def address(self) -> str:
        """Make a receiving address of an account of its own, which `close` may close."""

    def lock(self, receiving_address: str, destination: str) -> bytes:
        """Lock some units for another region; the transfer id, 16 bytes."""

    def use(self) -> bytes:
        """Retire some units; the transfer id of the use."""

    def use_of(self, receiving_address: str) -> None:
        """Retire some of the units that came to an address of `address`."""

    def lock_of(self, receiving_address: str, to_address: str, destination: str) -> None:
        """Lock some of the units that came to an address, for another region."""

    def finality(self, transfer_id: bytes) -> str:
        """Say how final a transfer is that came in: ``PENDING``, ``QUORUM``, ``COMMIT`` or nothing."""

    def withdraw(self, transfer_id: bytes) -> None:
        """Ask for a transfer back."""

    def state(self, transfer_id: bytes) -> str:
        """Give the state of a transfer in either direction; empty if the region does not know it."""

    def use_state(self, transfer_id: bytes) -> str:
        """Give the state of a use."""

    def held_kg(self) -> int:
        """Give how much the account holds from which units are locked, without what is locked."""

    def close(self, receiving_address: str) -> None:
        """Close the account behind an address."""

    def close_holder(self) -> None:
        """Close the account from which units are locked."""

    def restart(self) -> bool:
        """Stop the node and start it again; False if nobody said how."""


@dataclass
class ApiOrders:
    """Orders over the region's public gRPC interface (`tanqiao.api.region.v1`).

    Args:
        address_of_api: ``host:port`` of the region.
        holder: who gives orders for the account that holds units.
        opener: who opens and closes accounts.
        account_id: account that holds units.
        quantity_kg: how much an order moves.
        purpose: purpose of a use.
        purpose_text: the purpose in words.
        restart_command: what restarts the node, or nothing.
        holder_party: who acts for the accounts that `address` opens: the party of `holder`.
    """

    address_of_api: str
    holder: TlsFiles
    opener: TlsFiles
    account_id: str
    quantity_kg: int
    purpose: str
    purpose_text: str
    restart_command: str = ""
    holder_party: str = ""
    restarter: Callable[[], None] | None = None
    _accounts: dict[str, str] = field(default_factory=dict)
    _channels: dict[int, grpc.Channel] = field(default_factory=dict)

    def address(self) -> str:
        """Open an account and make an address of it."""
        stub = accounts_pb2_grpc.AccountServiceStub(self._channel(self.opener))
        opened = _call(
            stub.OpenAccount,
            accounts_pb2.OpenAccountRequest(
                request_id=_request_id(),
                kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
                display_name="一致性检验 conformance",
                uscc="91310000MA1FL0007C",
                invented=True,
                holder_party=self.holder_party,
            ),
        )
        account_id = opened.account.account_id
        made = _call(
            stub.CreateReceivingAddress,
            accounts_pb2.CreateReceivingAddressRequest(request_id=_request_id(), account_id=account_id),
        )
        self._accounts[made.receiving_address] = account_id
        return str(made.receiving_address)

    def lock(self, receiving_address: str, destination: str) -> bytes:
        """Order a transfer."""
        return self._lock(self.account_id, receiving_address, destination)

    def lock_of(self, receiving_address: str, to_address: str, destination: str) -> None:
        """Order a transfer of what came in."""
        self._lock(self._accounts[receiving_address], to_address, destination)

    def _lock(self, account_id: str, receiving_address: str, destination: str) -> bytes:
        stub = ledger_pb2_grpc.TransferServiceStub(self._channel(self.holder))
        answer = _call(
            stub.CreateTransfer,
            ledger_pb2.CreateTransferRequest(
                request_id=_request_id(),
                from_account_id=account_id,
                destination_region_code=destination.removeprefix("region/"),
                receiving_address=receiving_address,
                units=ledger_pb2.UnitSelection(quantity_kg=self.quantity_kg),
            ),
        )
        return bytes.fromhex(answer.transfer.transfer_id)

    def use(self) -> bytes:
        """Order a retirement."""
        return self._use(self.account_id)

    def use_of(self, receiving_address: str) -> None:
        """Order a retirement of what came in."""
        self._use(self._accounts[receiving_address])

    def _use(self, account_id: str) -> bytes:
        stub = ledger_pb2_grpc.RetirementServiceStub(self._channel(self.holder))
        answer = _call(
            stub.RetireUnits,
            ledger_pb2.RetireUnitsRequest(
                request_id=_request_id(),
                account_id=account_id,
                units=ledger_pb2.UnitSelection(quantity_kg=self.quantity_kg),
                purpose=self.purpose,
                purpose_text=self.purpose_text,
            ),
        )
        return bytes.fromhex(answer.retirement.retirement_id)

    def withdraw(self, transfer_id: bytes) -> None:
        """Order a withdrawal."""
        stub = ledger_pb2_grpc.TransferServiceStub(self._channel(self.holder))
        _call(
            stub.WithdrawTransfer,
            ledger_pb2.WithdrawTransferRequest(request_id=_request_id(), transfer_id=transfer_id.hex()),
        )

    def state(self, transfer_id: bytes) -> str:
        """Look a transfer up."""
        stub = ledger_pb2_grpc.TransferServiceStub(self._channel(self.opener))
        try:
            answer = _call(stub.GetTransfer, ledger_pb2.GetTransferRequest(transfer_id=transfer_id.hex()))
        except DomainError as refusal:
            if refusal.symbol == "TRANSFER_UNKNOWN":
                return ""
            raise
        return STATES.get(answer.transfer.state, "")

    def finality(self, transfer_id: bytes) -> str:
        """Look a transfer up."""
        stub = ledger_pb2_grpc.TransferServiceStub(self._channel(self.opener))
        answer = _call(stub.GetTransfer, ledger_pb2.GetTransferRequest(transfer_id=transfer_id.hex()))
        return FINALITIES.get(answer.transfer.finality, "")

    def use_state(self, transfer_id: bytes) -> str:
        """Look a use up."""
        stub = ledger_pb2_grpc.RetirementServiceStub(self._channel(self.holder))
        answer = _call(stub.GetRetirement, ledger_pb2.GetRetirementRequest(retirement_id=transfer_id.hex()))
        return USE_STATES.get(answer.retirement.state, "")

    def held_kg(self) -> int:
        """Look the balance of the account up."""
        stub = accounts_pb2_grpc.AccountServiceStub(self._channel(self.holder))
        answer = _call(stub.GetBalance, accounts_pb2.GetBalanceRequest(account_id=self.account_id))
        return int(answer.held_kg)

    def close(self, receiving_address: str) -> None:
        """Close the account that `address` opened."""
        self._close(self._accounts[receiving_address])

    def close_holder(self) -> None:
        """Close the account that holds units."""
        self._close(self.account_id)

    def _close(self, account_id: str) -> None:
        stub = accounts_pb2_grpc.AccountServiceStub(self._channel(self.opener))
        _call(
            stub.CloseAccount,
            accounts_pb2.CloseAccountRequest(request_id=_request_id(), account_id=account_id),
        )

    def restart(self) -> bool:
        """Run the command that restarts the node."""
        if self.restarter is not None:
            self.restarter()
        elif self.restart_command:
            subprocess.run(  # noqa: S602 - the operator's own command line
                self.restart_command, shell=True, check=True, timeout=RESTART_SECONDS_MAX
            )
        else:
            return False
        self.close_channels()
        return True

    def close_channels(self) -> None:
        """Close the channels; the next order opens them again."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def _channel(self, tls: TlsFiles) -> grpc.Channel:
        if id(tls) not in self._channels:
            self._channels[id(tls)] = open_channel(self.address_of_api, tls)
        return self._channels[id(tls)]


def _request_id() -> str:
    return f"conformance-{secrets.token_hex(8)}"


def _call(method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401 - the response of the method
    try:
        return method(request, timeout=CALL_SECONDS_MAX)
    except grpc.RpcError as error:
        raise from_rpc_error(error, peer="region") from None
