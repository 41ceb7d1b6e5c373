"""Who may call a region node: every method, one row. Patterns of parties as in `tanqiao.signing.parties`.

Operators of the region write for its bodies, holders for their own accounts; the rule pack decides which
role may do what, and `application.access` for whose account. Everybody of the network may read what is
public; what is not is left out of the answers to others (`server.wire`) or is not theirs to call.
"""

from __future__ import annotations

from typing import Final

from tanqiao.rpc.caller import ANY_PARTY, CallerTable

ANYBODY: Final = (ANY_PARTY,)


def callers(region_code: str) -> CallerTable:
    """Give the table of one region's node."""
    office: Final = (f"operator/{region_code}/*",)
    own: Final = (*office, f"holder/{region_code}/*/*")
    watchers: Final = (*own, "reader/*")
    region = "/tanqiao.api.region.v1"
    return {
        "/tanqiao.api.common.v1.ClockService/GetClock": ANYBODY,
        "/tanqiao.api.common.v1.ClockService/AdvanceTestClock": office,
        f"{region}.AccountService/OpenAccount": own,
        f"{region}.AccountService/BatchOpenAccounts": own,
        f"{region}.AccountService/GetAccount": own,
        f"{region}.AccountService/ListAccounts": own,
        f"{region}.AccountService/SetAccountHolder": office,
        f"{region}.AccountService/CloseAccount": own,
        f"{region}.AccountService/DeletePersonalData": own,
        f"{region}.AccountService/CreateReceivingAddress": own,
        f"{region}.AccountService/GetBalance": own,
        f"{region}.AccountService/ListHoldings": own,
        f"{region}.LedgerService/TransferUnits": own,
        f"{region}.LedgerService/BatchTransferUnits": own,
        f"{region}.TransferService/CreateTransfer": own,
        f"{region}.TransferService/BatchCreateTransfers": own,
        f"{region}.TransferService/WithdrawTransfer": own,
        f"{region}.TransferService/GetTransfer": own,
        f"{region}.TransferService/ListTransfers": own,
        f"{region}.TransferService/WatchTransfer": own,
        f"{region}.RetirementService/RetireUnits": own,
        f"{region}.RetirementService/CancelUnits": office,
        f"{region}.RetirementService/GetRetirement": ANYBODY,
        f"{region}.RetirementService/ListRetirements": ANYBODY,
        # Account numbers in the journal are random; a national reader mirrors it, another region does not.
        f"{region}.JournalService/WatchJournal": watchers,
        f"{region}.JournalService/ListJournal": watchers,
        f"{region}.RegisterService/PublishMethodology": office,
        f"{region}.RegisterService/ListMethodologies": ANYBODY,
        f"{region}.RegisterService/SubmitProject": own,
        f"{region}.RegisterService/AssessProject": office,
        f"{region}.RegisterService/OpenProjectNotice": office,
        f"{region}.RegisterService/PublishProject": office,
        f"{region}.RegisterService/AppointProjectVerifier": office,
        f"{region}.RegisterService/FileProjectReports": own,
        f"{region}.RegisterService/ReviewProject": office,
        f"{region}.RegisterService/ObjectToProject": ANYBODY,
        f"{region}.RegisterService/AnswerProjectObjection": office,
        f"{region}.RegisterService/WithdrawProject": own,
        f"{region}.RegisterService/GetProject": ANYBODY,
        f"{region}.RegisterService/ListProjects": ANYBODY,
        f"{region}.DossierService/OpenDossier": own,
        f"{region}.DossierService/TakeStep": own,
        f"{region}.DossierService/SignStep": office,
        f"{region}.DossierService/GiveSeedShare": own,
        f"{region}.DossierService/GetDossier": ANYBODY,
        f"{region}.DossierService/ListDossiers": ANYBODY,
        f"{region}.DossierService/ListDossierSteps": ANYBODY,
        f"{region}.DossierService/KeepExpert": office,
        f"{region}.DossierService/ListExperts": ANYBODY,
        f"{region}.TradingMandateService/GiveTradingMandate": own,
        f"{region}.TradingMandateService/EndTradingMandate": own,
        f"{region}.TradingMandateService/ListTradingMandates": own,
        f"{region}.SceneService/SignSceneDecision": office,
        f"{region}.SceneService/DecideScene": office,
        f"{region}.SceneService/ValidateSceneData": office,
        f"{region}.SceneService/ConnectScene": office,
        f"{region}.SceneService/SubmitTrips": own,
        f"{region}.ExperienceService/RecordExperience": office,
        f"{region}.ExperienceService/GetExperience": own,
        f"{region}.ExperienceService/ConvertExperience": own,
        f"{region}.IssuanceService/SubmitActivity": own,
        f"{region}.IssuanceService/ImportActivity": own,
        f"{region}.IssuanceService/QuantifyProject": watchers,
        f"{region}.IssuanceService/IssueUnits": office,
        f"{region}.IssuanceService/GetIssuance": ANYBODY,
        f"{region}.IssuanceService/ListIssuances": ANYBODY,
        f"{region}.ReserveService/EnterResource": office,
        f"{region}.ReserveService/ListResources": ANYBODY,
        f"{region}.ReserveService/TakeResourceStep": own,
        f"{region}.ReserveService/ListResourceSteps": ANYBODY,
        f"{region}.ReserveService/IssueFilingProof": own,
        # An order proves itself by the signatures of approvers; the caller only carries it.
        f"{region}.LocalOrderService/SubmitLocalFreeze": (*own, f"authority/{region_code}"),
        f"{region}.LocalOrderService/ListLocalFreezes": (*own, f"authority/{region_code}"),
        f"{region}.EncumbranceService/EncumberUnits": own,
        f"{region}.EncumbranceService/ReleaseEncumbrance": own,
        f"{region}.EncumbranceService/GetEncumbrance": own,
        f"{region}.EncumbranceService/ListEncumbrances": own,
        # The order proves itself by the signatures of approvers; the caller only carries it.
        f"{region}.ClawbackService/SubmitClawback": office,
        f"{region}.ClawbackService/ReplaceClawedUnits": own,
        f"{region}.ClawbackService/SettleClawback": office,
        f"{region}.ClawbackService/GetClawback": ANYBODY,
        f"{region}.ClawbackService/ListClawbacks": ANYBODY,
        f"{region}.ClawbackService/ListClawbackSteps": ANYBODY,
        f"{region}.ConsentService/RecordConsents": own,
        f"{region}.ConsentService/WithdrawConsent": own,
        f"{region}.ConsentService/ListConsents": own,
        f"{region}.CertificateService/RequestCertificate": own,
        f"{region}.CertificateService/TakeCertificateStep": own,
        f"{region}.CertificateService/GetCertificate": ANYBODY,
        f"{region}.CertificateService/ListCertificates": ANYBODY,
        f"{region}.CertificateService/ListCertificateSteps": ANYBODY,
        f"{region}.DisclosureService/ListDisclosures": ANYBODY,
        f"{region}.DisclosureService/ReadDisclosure": ANYBODY,
        f"{region}.BodyDecisionService/ListBodyDecisions": office,
        f"{region}.ParameterService/SetParameter": office,
        f"{region}.ParameterService/ListParameters": ANYBODY,
        f"{region}.NodeService/GetNodeStatus": ANYBODY,
        # Block by block what the region holds: for its offices, and for who checks conservation.
        f"{region}.NodeService/ListSeriesTotals": (*office, "reader/*"),
    }
