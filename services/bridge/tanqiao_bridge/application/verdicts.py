"""Verdicts of a batch: what all of them share is looked up once, and most are filled into one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.signing.forms import ID_BYTES, Form, Sender
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.claim_forms import RandomIds, allowed_form, claim_header
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.judging import (
    Judged,
    article_text,
    met_nothing,
    registries_of,
    verdict_message,
)
from tanqiao_bridge.application.registry_answers import Answers


class Verdicts:
    """Makes the verdicts on claims that were judged on the same answers and the same index.

    All are of the key that signs as this is made: they may come under one signature.

    Args:
        context: of the bridge.
        as_of_index: size of the log.
        registries: which answered, and as of when.
        count: verdicts that will be made, at most.
    """

    def __init__(
        self,
        context: BridgeContext,
        as_of_index: int,
        registries: Sequence[claims_pb2.RegistryAsOf],
        count: int,
    ) -> None:
        self._as_of_index = as_of_index
        self._registries = registries
        self._registries_alone = claims_pb2.Verdict(registries=registries).SerializeToString()
        self._sender = Sender.of(context)
        self._ids = RandomIds(context.random_bytes(ID_BYTES * count))
        self._forms: dict[tuple[str, str, str], Form] = {}

    @classmethod
    def of(cls, context: BridgeContext, as_of_index: int, answers: Answers, count: int) -> Self:
        """Give what makes the verdicts on these answers."""
        return cls(context, as_of_index, registries_of(answers), count)

    def message(self, reader: str, read: ReadClaim, judged: Judged) -> claims_pb2.Verdict:
        """Give a verdict for a party."""
        return verdict_message(
            claim_header(self._sender, (reader,), message_id=self._ids()),
            read,
            judged,
            as_of_index=self._as_of_index,
            registries=self._registries,
        )

    def payload(self, reader: str, read: ReadClaim, judged: Judged) -> bytes:
        """Give the same, serialised."""
        verdict = judged.verdict
        if not met_nothing(verdict):
            return self.message(reader, read, judged).SerializeToString()
        key = (reader, verdict.article, verdict.matrix_version)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = allowed_form(
                self._sender,
                reader,
                article_text(verdict.article),
                verdict.matrix_version,
                self._as_of_index,
                self._registries_alone,
            )
        return form.fill(self._ids(), read.digest)
