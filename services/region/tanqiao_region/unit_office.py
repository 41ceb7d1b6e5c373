"""Services about units beside their moves, brought together for `bootstrap`.

Encumbrances, mandates to trade, certificates, clawbacks, consents of users, public lists, dated parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tanqiao.api.region.v1 import (
    certificates_pb2_grpc,
    clawbacks_pb2_grpc,
    consents_pb2_grpc,
    decisions_pb2_grpc,
    disclosure_pb2_grpc,
    encumbrances_pb2_grpc,
    mandates_pb2_grpc,
    parameters_pb2_grpc,
)
from tanqiao.db.engine import Database
from tanqiao.kernel.working_days import Calendar
from tanqiao.rpc.server import Registration
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.certified import read_certificate
from tanqiao_region.application.certificates import Certificates
from tanqiao_region.application.claim_steps import Submit
from tanqiao_region.application.clawbacks import Clawbacks
from tanqiao_region.application.consents import Consents
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.decision_evidence import DecisionEvidence
from tanqiao_region.application.disclosure import Disclosures
from tanqiao_region.application.encumbrances import Encumbrances
from tanqiao_region.application.release_statements import Certifying
from tanqiao_region.application.rule_parameters import RuleParameters
from tanqiao_region.application.trading_mandates import TradingMandates
from tanqiao_region.server.certificate_servicer import CertificateServicer
from tanqiao_region.server.clawback_servicer import ClawbackServicer
from tanqiao_region.server.consent_servicer import ConsentServicer
from tanqiao_region.server.decision_servicer import DecisionServicer
from tanqiao_region.server.disclosure_servicer import DisclosureServicer
from tanqiao_region.server.encumbrance_servicer import EncumbranceServicer
from tanqiao_region.server.mandate_servicer import TradingMandateServicer
from tanqiao_region.server.parameter_servicer import ParameterServicer


def unit_services(
    context: RegionContext, database: Database, submit: Submit, calendar: Calendar, tls: TlsFiles
) -> list[Registration]:
    """Give them."""
    certifying = Certifying(
        context.network_id, context.party, lambda: read_certificate(tls.ca), lambda: datetime.now(UTC)
    )
    return [
        Registration(
            encumbrances_pb2_grpc.add_EncumbranceServiceServicer_to_server,
            EncumbranceServicer(Encumbrances(context, database, submit, certifying)),
        ),
        Registration(
            mandates_pb2_grpc.add_TradingMandateServiceServicer_to_server,
            TradingMandateServicer(TradingMandates(context, database, submit)),
        ),
        Registration(
            certificates_pb2_grpc.add_CertificateServiceServicer_to_server,
            CertificateServicer(Certificates(context, database, submit)),
        ),
        Registration(
            consents_pb2_grpc.add_ConsentServiceServicer_to_server,
            ConsentServicer(Consents(context, database, submit)),
        ),
        Registration(
            clawbacks_pb2_grpc.add_ClawbackServiceServicer_to_server,
            ClawbackServicer(Clawbacks(context, database, submit, lambda: calendar)),
        ),
        Registration(
            decisions_pb2_grpc.add_BodyDecisionServiceServicer_to_server,
            DecisionServicer(DecisionEvidence(context, database)),
        ),
        Registration(
            disclosure_pb2_grpc.add_DisclosureServiceServicer_to_server,
            DisclosureServicer(Disclosures(context, database)),
        ),
        Registration(
            parameters_pb2_grpc.add_ParameterServiceServicer_to_server,
            ParameterServicer(RuleParameters(context, database, submit)),
        ),
    ]
