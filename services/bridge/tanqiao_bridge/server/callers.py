"""Who may call the bridge: every method, one row. Patterns of parties as in `tanqiao.signing.parties`."""

from __future__ import annotations

from typing import Final

from tanqiao.rpc.caller import ANY_PARTY, CallerTable

REGION: Final = ("region/*",)
ANYBODY: Final = (ANY_PARTY,)
AUTHORITIES: Final = ("operator/**", "authority/*", "region/*")
CONCERNED: Final = (*AUTHORITIES, "reader/*")
OFFICES: Final = (*AUTHORITIES, "reader/national")
"""The national office and those of the regions: who settles cases sees them."""

CALLERS: Final[CallerTable] = {
    "/tanqiao.api.common.v1.ClockService/GetClock": ANYBODY,
    "/tanqiao.api.common.v1.ClockService/AdvanceTestClock": ("operator/**",),
    "/tanqiao.api.bridge.v1.SyncService/Connect": REGION,
    "/tanqiao.api.bridge.v1.SyncService/SubmitMessages": REGION,
    "/tanqiao.api.bridge.v1.ReconcileService/BeginReconciliation": REGION,
    "/tanqiao.api.bridge.v1.ReconcileService/CompareSeries": REGION,
    "/tanqiao.api.bridge.v1.ReconcileService/CompareRanges": REGION,
    "/tanqiao.api.bridge.v1.ReconcileService/CompareBlocks": REGION,
    "/tanqiao.api.bridge.v1.ReconcileService/EndReconciliation": REGION,
    # It reads, and asks regions to read; who is bad is frozen by what is found alone.
    "/tanqiao.api.bridge.v1.ReconcileService/StartReconciliation": ("operator/**", "reader/*", "region/*"),
    "/tanqiao.api.bridge.v1.ReconcileService/ListReconciliations": ANYBODY,
    "/tanqiao.api.bridge.v1.RecoveryService/ListOpenPromises": REGION,
    "/tanqiao.api.bridge.v1.RecoveryService/SubmitReport": REGION,
    "/tanqiao.api.bridge.v1.RecoveryService/GetRecoveryStatus": ANYBODY,
    "/tanqiao.api.bridge.v1.DirectoryService/ListRegions": ANYBODY,
    "/tanqiao.api.bridge.v1.DirectoryService/ListKeys": ANYBODY,
    # The record proves itself by the signature of a root; the caller only carries it.
    "/tanqiao.api.bridge.v1.DirectoryService/SubmitKeyRecord": AUTHORITIES,
    "/tanqiao.api.bridge.v1.RecognitionService/SubmitRecognition": AUTHORITIES,
    "/tanqiao.api.bridge.v1.RecognitionService/ListRecognitions": ANYBODY,
    "/tanqiao.api.bridge.v1.DecisionService/GetOutcome": ANYBODY,
    "/tanqiao.api.bridge.v1.DecisionService/ListLogEntries": ANYBODY,
    "/tanqiao.api.bridge.v1.DecisionService/GetLogStatus": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/GetCheckpoint": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/ListLeaves": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/GetTile": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/GetInclusionProof": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/GetConsistencyProof": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/GetFinalityBundle": ANYBODY,
    "/tanqiao.api.bridge.v1.LogService/BatchGetFinalityBundles": REGION,
    "/tanqiao.api.bridge.v1.LogService/GetLocationProof": ANYBODY,
    # A party that is no witness of the group is refused by its name.
    "/tanqiao.api.bridge.v1.LogService/AddCosignature": ("region/*", "witness/*"),
    "/tanqiao.api.bridge.v1.LogService/AddLeaves": REGION,
    # The record proves itself by the signatures of approvers or roots; the caller only carries it.
    "/tanqiao.api.bridge.v1.WitnessGroupService/ReplaceWitnessGroup": AUTHORITIES,
    "/tanqiao.api.bridge.v1.WitnessGroupService/ListWitnessGroups": ANYBODY,
    "/tanqiao.api.bridge.v1.LocationService/ListLocations": ANYBODY,
    "/tanqiao.api.bridge.v1.LocationService/TraceUnits": ANYBODY,
    "/tanqiao.api.bridge.v1.ClaimService/CheckClaim": CONCERNED,
    "/tanqiao.api.bridge.v1.ClaimService/BatchCheckClaims": CONCERNED,
    "/tanqiao.api.bridge.v1.ClaimService/DeclareClaim": REGION,
    "/tanqiao.api.bridge.v1.ClaimService/BatchDeclareClaims": REGION,
    "/tanqiao.api.bridge.v1.ClaimService/RegisterClaim": REGION,
    "/tanqiao.api.bridge.v1.ClaimService/ReleaseClaim": REGION,
    "/tanqiao.api.bridge.v1.ClaimService/GetClaim": ANYBODY,
    "/tanqiao.api.bridge.v1.ClaimService/ListClaims": ANYBODY,
    # The region that calls is the one whose quota is used and whose claims are meant.
    "/tanqiao.api.bridge.v1.TokenService/EvaluateElements": REGION,
    "/tanqiao.api.bridge.v1.TokenService/GetTokenStatus": CONCERNED,
    "/tanqiao.api.bridge.v1.TokenService/ListStaleClaims": REGION,
    "/tanqiao.api.bridge.v1.TokenService/RenewTokens": REGION,
    # The national query: authorities, national readers, and the regions whose claims these are.
    "/tanqiao.api.bridge.v1.ClaimQueryService/SearchClaims": CONCERNED,
    "/tanqiao.api.bridge.v1.ClaimQueryService/GetClaimHistory": CONCERNED,
    "/tanqiao.api.bridge.v1.ClaimQueryService/ListQueries": CONCERNED,
    # Who sees what of them: `tanqiao_bridge.application.query_roles`.
    "/tanqiao.api.bridge.v1.ConflictService/CheckClaims": CONCERNED,
    "/tanqiao.api.bridge.v1.ConflictService/ExplainVerdict": CONCERNED,
    "/tanqiao.api.bridge.v1.ConflictService/FindAssets": CONCERNED,
    "/tanqiao.api.bridge.v1.ConflictService/ListConflicts": OFFICES,
    "/tanqiao.api.bridge.v1.ConflictService/WatchConflicts": OFFICES,
    "/tanqiao.api.bridge.v1.ConflictService/GetConflictPack": OFFICES,
    "/tanqiao.api.bridge.v1.CaseService/ContestClaim": REGION,
    "/tanqiao.api.bridge.v1.CaseService/ListCases": OFFICES,
    "/tanqiao.api.bridge.v1.CaseService/GetCase": OFFICES,
    # As an order: approvers of two bodies have signed, the caller only carries it.
    "/tanqiao.api.bridge.v1.CaseService/ResolveCase": AUTHORITIES,
    "/tanqiao.api.bridge.v1.CaseService/DecideAlias": AUTHORITIES,
    "/tanqiao.api.bridge.v1.CaseService/NominatePairs": ("operator/**", "authority/*"),
    "/tanqiao.api.bridge.v1.CaseService/ListAliases": CONCERNED,
    # The statement proves itself by the signature of CCER's gateway; the caller only carries it.
    "/tanqiao.api.bridge.v1.CoordinationService/SubmitStep": ("operator/**", "gateway/ccer"),
    "/tanqiao.api.bridge.v1.CoordinationService/ListOrders": (*CONCERNED, "gateway/*"),
    # An order proves itself by the signatures of approvers; the caller only carries it.
    "/tanqiao.api.bridge.v1.OrderService/SubmitFreeze": AUTHORITIES,
    "/tanqiao.api.bridge.v1.OrderService/ListFreezes": CONCERNED,
    "/tanqiao.api.bridge.v1.OrderService/GetFreezeOrder": CONCERNED,
    "/tanqiao.api.bridge.v1.OrderService/SubmitCorrection": AUTHORITIES,
    "/tanqiao.api.bridge.v1.OrderService/ListCorrections": ANYBODY,
}
