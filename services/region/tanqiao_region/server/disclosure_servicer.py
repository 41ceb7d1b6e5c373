"""DisclosureService: it translates."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.region.v1 import disclosure_pb2, disclosure_pb2_grpc
from tanqiao.rpc.validation import page, require_text
from tanqiao_region.application.disclosure import Disclosures

SLUG_LENGTH_MAX: Final = 64


class DisclosureServicer(disclosure_pb2_grpc.DisclosureServiceServicer):
    """Public lists."""

    def __init__(self, disclosures: Disclosures) -> None:
        self._disclosures = disclosures

    def ListDisclosures(
        self, request: disclosure_pb2.ListDisclosuresRequest, context: grpc.ServicerContext
    ) -> disclosure_pb2.ListDisclosuresResponse:
        """Give which lists there are."""
        del context
        found, index = self._disclosures.lists(request.as_of_index)
        return disclosure_pb2.ListDisclosuresResponse(disclosures=found, as_of_index=index)

    def ReadDisclosure(
        self, request: disclosure_pb2.ReadDisclosureRequest, context: grpc.ServicerContext
    ) -> disclosure_pb2.ReadDisclosureResponse:
        """Give a page of a list."""
        del context
        slug = require_text(request.slug, "slug", length_max=SLUG_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, slug)
        part = self._disclosures.page(slug, asked.after, asked.size + 1, request.as_of_index)
        shown = part.rows[: asked.size]
        return disclosure_pb2.ReadDisclosureResponse(
            disclosure=part.disclosure,
            rows=[disclosure_pb2.DisclosureRow(values=values) for _, values in shown],
            next_page_token=asked.token(shown[-1][0]) if len(part.rows) > asked.size else "",
            as_of_index=part.as_of_index,
            as_of_time=Timestamp(seconds=part.as_of_seconds),
        )
