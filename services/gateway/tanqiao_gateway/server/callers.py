"""Who may call a gateway: every method, one row."""

from __future__ import annotations

from typing import Final

from tanqiao.rpc.caller import ANY_PARTY, CallerTable

ANYBODY: Final = (ANY_PARTY,)
# Whoever answers for the import of an official list; on a real network the operators of the bridge's
# authority.
OPERATORS: Final = ("operator/**",)

CALLERS: Final[CallerTable] = {
    "/tanqiao.api.common.v1.ClockService/GetClock": ANYBODY,
    "/tanqiao.api.common.v1.ClockService/AdvanceTestClock": OPERATORS,
    "/tanqiao.api.gateway.v1.RegistryService/ImportList": OPERATORS,
    "/tanqiao.api.gateway.v1.RegistryService/ListImports": ANYBODY,
    # By subject one could list what a company holds: the bridge asks, and those who answer for the list.
    "/tanqiao.api.gateway.v1.RegistryService/LookUpAssets": ("bridge", "operator/**", "reader/*"),
    "/tanqiao.api.gateway.v1.RegistryService/ListRecords": ANYBODY,
    "/tanqiao.api.gateway.v1.RegistryService/UndoImport": OPERATORS,
    "/tanqiao.api.gateway.v1.RegistryService/ListChanges": ANYBODY,
    "/tanqiao.api.gateway.v1.RegistryService/GetRegistryStatus": ANYBODY,
    "/tanqiao.api.gateway.v1.RegistryService/ReadKeyFilter": ("bridge",),
    # In the registry's name: what is signed or decided here binds it.
    "/tanqiao.api.gateway.v1.RegistryOrderService/SignStep": OPERATORS,
    "/tanqiao.api.gateway.v1.RegistryOrderService/PlaceOrder": ("bridge",),
    "/tanqiao.api.gateway.v1.RegistryOrderService/DecideOrder": OPERATORS,
    "/tanqiao.api.gateway.v1.RegistryOrderService/ListReceivedOrders": ("bridge", "operator/**", "reader/*"),
}
