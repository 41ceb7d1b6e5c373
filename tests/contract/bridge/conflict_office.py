"""Short ways to ask a bridge under test about conflicts; every answer is as the bridge signed it (虚构)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2, conflicts_pb2_grpc
from tanqiao.signing.verify import Verifier, allow
from tanqiao.testing.network import BRIDGE
from tests.contract.bridge.claims_office import call
from tests.contract.bridge.harness import WAIT_SECONDS, Running

NATIONAL: Final = "reader/national"
ANSWERS: Final = allow(
    conflicts_pb2.AssetList,
    conflicts_pb2.Explanation,
    conflicts_pb2.ConflictList,
    conflicts_pb2.ConflictPush,
    claims_pb2.Verdict,
    senders=(BRIDGE,),
)


def stub_of(running: Running, party: str = NATIONAL) -> conflicts_pb2_grpc.ConflictServiceStub:
    return conflicts_pb2_grpc.ConflictServiceStub(running.channel(party))


def signed_by_bridge(running: Running, envelope: Any, message: Any, party: str = NATIONAL) -> None:
    """Demand that a message is what the bridge signed for a party."""
    opened = Verifier(running.network.network_id, party).open_envelope(
        envelope, running.network.directory, allowed=ANSWERS, peer=None, at_index=1_000_000
    )
    assert opened.message == message


def explain(running: Running, party: str = NATIONAL, **subject: Any) -> conflicts_pb2.Explanation:
    """Ask why a claim is answered as it is."""
    request = conflicts_pb2.ExplainVerdictRequest(**subject)
    response = call(lambda: stub_of(running, party).ExplainVerdict(request, timeout=WAIT_SECONDS))
    signed_by_bridge(running, response.envelope, response.explanation, party)
    return response.explanation  # type: ignore[no-any-return]


def conflicts(running: Running, party: str = NATIONAL, as_of_index: int = 0, **filters: Any) -> list[int]:
    """List all pages of one case each; the numbers of the cases."""
    request = conflicts_pb2.ListConflictsRequest(
        filter=conflicts_pb2.ConflictFilter(**filters), page_size=1, as_of_index=as_of_index
    )
    found: list[int] = []
    while True:
        response = call(lambda: stub_of(running, party).ListConflicts(request, timeout=WAIT_SECONDS))
        signed_by_bridge(running, response.envelope, response.list, party)
        assert response.list.filter == request.filter
        assert as_of_index in (0, response.list.as_of_index)
        found.extend(case.case_id for case in response.list.cases)
        if not response.list.next_page_token:
            return found
        request.page_token = response.list.next_page_token


@contextmanager
def watching(
    running: Running, party: str = NATIONAL, resume_token: str = ""
) -> Iterator[Iterator[conflicts_pb2.ConflictPush]]:
    """Follow the feed; each push is as the bridge signed it."""
    request = conflicts_pb2.WatchConflictsRequest(resume_token=resume_token)
    stream = stub_of(running, party).WatchConflicts(request, timeout=WAIT_SECONDS)

    def pushes() -> Iterator[conflicts_pb2.ConflictPush]:
        for response in stream:
            signed_by_bridge(running, response.envelope, response.push, party)
            yield response.push

    yield pushes()
    stream.cancel()


def changes(
    running: Running, count: int, party: str = NATIONAL, resume_token: str = ""
) -> list[tuple[conflicts_pb2.ConflictChange, str]]:
    """Give the next changes, each with the token of its push."""
    found: list[tuple[conflicts_pb2.ConflictChange, str]] = []
    with watching(running, party, resume_token) as pushes:
        while len(found) < count:
            push = next(pushes)
            found.extend((change, push.resume_token) for change in push.changes)
    return found
