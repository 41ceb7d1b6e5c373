"""ConsentService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import consents_pb2, consents_pb2_grpc
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import optional_text, page, require_text
from tanqiao_region.application.consents import TOKEN_LENGTH_MAX, Consents
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller


class ConsentServicer(consents_pb2_grpc.ConsentServiceServicer):
    """Mandates and consents of users."""

    def __init__(self, consents: Consents) -> None:
        self._consents = consents

    def RecordConsents(
        self, request: consents_pb2.RecordConsentsRequest, context: grpc.ServicerContext
    ) -> consents_pb2.RecordConsentsResponse:
        """Record what users gave."""
        del context
        return self._consents.record(ask_of(request, request.request_id), request)

    def WithdrawConsent(
        self, request: consents_pb2.WithdrawConsentRequest, context: grpc.ServicerContext
    ) -> consents_pb2.WithdrawConsentResponse:
        """Take a mandate or a consent back."""
        del context
        return self._consents.withdraw(ask_of(request, request.request_id), request)

    def ListConsents(
        self, request: consents_pb2.ListConsentsRequest, context: grpc.ServicerContext
    ) -> consents_pb2.ListConsentsResponse:
        """Give what was given to an account, oldest first."""
        del context
        recipient = require_text(
            request.recipient_account_id, "recipient_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        )
        token = optional_text(request.user_token, "user_token", length_max=TOKEN_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, recipient, token)
        found = self._consents.page(
            recipient, token, by_caller(), asked.read(_position, (0, b"")), asked.size + 1
        )
        shown = found[: asked.size]
        last = f"{shown[-1].journal_index}:{shown[-1].consent_id}" if shown else ""
        return consents_pb2.ListConsentsResponse(
            consents=shown, next_page_token=asked.token(last) if len(found) > asked.size else ""
        )


def _position(text: str) -> tuple[int, bytes]:
    index, _, consent_id = text.partition(":")
    return int(index), bytes.fromhex(consent_id)
