"""Approvals of second approvers, signed with the keys of the network's officers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.signing.body_decisions import CANCELLATION, CERTIFICATE, ISSUANCE, PARAMETER, of_request
from tanqiao.testing.network import NetworkOfTest

SIGNED: Final = datetime(2026, 3, 2, 1, tzinfo=UTC)


def approve(network: NetworkOfTest, request: Any, kind: Any, object_id: str, *hands: tuple[str, int]) -> Any:
    """Give the request with an approval by these officers."""
    request.approval.CopyFrom(network.decision(of_request(kind, object_id, request, SIGNED), *hands))
    return request


def approve_parameter(network: NetworkOfTest, request: Any, author: str, **values: Any) -> Any:
    """Give a parameter's request with the approval of two officers of the author's body, or of others."""
    hands = values.get("hands", ((author, 1), (author, 2)))
    return approve(network, request, PARAMETER, request.key, *hands)


def approve_issuance(network: NetworkOfTest, request: Any, *hands: tuple[str, int]) -> Any:
    """Give an issuance's request with an approval."""
    return approve(network, request, ISSUANCE, request.project_id, *hands)


def cancellation(
    network: NetworkOfTest, account_id: str, selection: Any, hands: tuple[tuple[str, int], ...], **fields: Any
) -> ledger_pb2.CancelUnitsRequest:
    """Give the request of a cancellation, approved by these officers."""
    units = ledger_pb2.UnitSelection(
        quantity_kg=selection.quantity_kg,
        series_id=selection.series_id,
        blocks=block_messages(selection.blocks),
    )
    request = ledger_pb2.CancelUnitsRequest(account_id=account_id, units=units, **fields)
    approve_cancellation(network, request, *hands)
    return request


def approve_cancellation(network: NetworkOfTest, request: Any, *hands: tuple[str, int]) -> Any:
    """Give a cancellation's request with an approval, or with none."""
    return approve(network, request, CANCELLATION, request.account_id, *hands) if hands else request


def approve_revocation(network: NetworkOfTest, request: Any, *hands: tuple[str, int]) -> Any:
    """Give the request that revokes a certificate with an approval."""
    return approve(network, request, CERTIFICATE, request.number, *hands)
