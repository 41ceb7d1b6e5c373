"""A client process that tries one block again and again: transfer inside, lock for another region, retire.

``python -m tests.contract.region.race_client FILE``: reads what to try as JSON, waits for a line on
standard input, and prints how many attempts ended with which reason.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import ledger_pb2, ledger_pb2_grpc
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.certificates import TlsFiles

CALLERS = 8
TIMEOUT_SECONDS = 60.0


def main() -> None:
    """Try, and say what happened."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channels = {
        role: open_channel(plan["address"], TlsFiles.of(Path(folder))) for role, folder in plan["tls"].items()
    }
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ThreadPoolExecutor(CALLERS) as pool:
        outcomes = Counter(pool.map(lambda number: _attempt(plan, channels, number), range(plan["count"])))
    sys.stdout.write(json.dumps(outcomes) + "\n")


def _attempt(plan: dict[str, Any], channels: dict[str, grpc.Channel], number: int) -> str:
    units = ledger_pb2.UnitSelection(
        blocks=[
            values_pb2.UnitBlock(
                series_id=plan["series_id"], start_serial=plan["start"], end_serial=plan["end"]
            )
        ]
    )
    request_id = f"race-{plan['start']}-{plan['client']}-{number}"
    kind = ("move", "lock", "retire")[(number + plan["client"]) % 3]
    try:
        if kind == "move":
            ledger_pb2_grpc.LedgerServiceStub(channels["exchange"]).TransferUnits(
                ledger_pb2.TransferUnitsRequest(
                    request_id=request_id,
                    from_account_id=plan["seller"],
                    to_account_id=plan["taker"],
                    units=units,
                ),
                timeout=TIMEOUT_SECONDS,
            )
        elif kind == "lock":
            ledger_pb2_grpc.TransferServiceStub(channels["holder"]).CreateTransfer(
                ledger_pb2.CreateTransferRequest(
                    request_id=request_id,
                    from_account_id=plan["seller"],
                    destination_region_code="440300",
                    receiving_address=plan["receiving_address"],
                    units=units,
                ),
                timeout=TIMEOUT_SECONDS,
            )
        else:
            ledger_pb2_grpc.RetirementServiceStub(channels["holder"]).RetireUnits(
                ledger_pb2.RetireUnitsRequest(
                    request_id=request_id,
                    account_id=plan["seller"],
                    units=units,
                    purpose="event_neutrality",
                    purpose_text="虚构 invented",
                ),
                timeout=TIMEOUT_SECONDS,
            )
    except grpc.RpcError as error:
        return from_rpc_error(error).symbol
    return f"won by {kind}"


if __name__ == "__main__":
    main()
