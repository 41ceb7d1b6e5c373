"""CertificateService: it translates."""

from __future__ import annotations

from typing import Final

import grpc

from tanqiao.api.region.v1 import certificates_pb2, certificates_pb2_grpc
from tanqiao.rpc.validation import optional_text, page, parse_serial
from tanqiao_region.application.certificates import Certificates
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller

STATE_LENGTH_MAX: Final = 32


class CertificateServicer(certificates_pb2_grpc.CertificateServiceServicer):
    """Certificates of carbon neutrality."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def RequestCertificate(
        self, request: certificates_pb2.RequestCertificateRequest, context: grpc.ServicerContext
    ) -> certificates_pb2.RequestCertificateResponse:
        """Ask for a certificate."""
        del context
        return self._certificates.request(ask_of(request, request.request_id), request)

    def TakeCertificateStep(
        self, request: certificates_pb2.TakeCertificateStepRequest, context: grpc.ServicerContext
    ) -> certificates_pb2.TakeCertificateStepResponse:
        """Take a step of a certificate."""
        del context
        return self._certificates.take_step(ask_of(request, request.request_id), request)

    def GetCertificate(
        self, request: certificates_pb2.GetCertificateRequest, context: grpc.ServicerContext
    ) -> certificates_pb2.GetCertificateResponse:
        """Give a certificate by its number."""
        del context
        found = self._certificates.find(request.number, by_caller())
        return certificates_pb2.GetCertificateResponse(certificate=found)

    def ListCertificates(
        self, request: certificates_pb2.ListCertificatesRequest, context: grpc.ServicerContext
    ) -> certificates_pb2.ListCertificatesResponse:
        """Give certificates in the order of their numbers."""
        del context
        state = optional_text(request.state, "state", length_max=STATE_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, state)
        found = self._certificates.page(state, by_caller(), asked.after, asked.size + 1)
        shown = found[: asked.size]
        return certificates_pb2.ListCertificatesResponse(
            certificates=shown,
            next_page_token=asked.token(shown[-1].number) if len(found) > asked.size else "",
        )

    def ListCertificateSteps(
        self, request: certificates_pb2.ListCertificateStepsRequest, context: grpc.ServicerContext
    ) -> certificates_pb2.ListCertificateStepsResponse:
        """Give the history of a certificate."""
        del context
        asked = page(request.page_size, request.page_token, request.number)
        found = self._certificates.steps(
            request.number, by_caller(), asked.read(parse_serial, 0), asked.size + 1
        )
        shown = found[: asked.size]
        return certificates_pb2.ListCertificateStepsResponse(
            steps=shown,
            next_page_token=asked.token(str(shown[-1].step_number)) if len(found) > asked.size else "",
        )
