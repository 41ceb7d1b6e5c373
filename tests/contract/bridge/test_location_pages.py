"""The table of locations, read page by page while units move."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tests.contract.bridge.harness import PlayedRegion, Running, issue_units

READER = "reader/national"


def test_no_serial_is_left_out_though_blocks_are_split_and_joined_between_pages(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(1_000, 3_000)])
    assert shanghai.outcome(transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    stub = directory_pb2_grpc.LocationServiceStub(running.channel(READER))
    first = stub.ListLocations(directory_pb2.ListLocationsRequest(page_size=2), timeout=60)
    assert [(row.block.start_serial, row.block.end_serial) for row in first.locations] == [
        (0, 1_000),
        (1_000, 3_000),
    ]

    use = shenzhen.use(2_000, 2_500)
    shenzhen.offer([use])
    assert shenzhen.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(3_000, 4_000)])
    assert shanghai.outcome(transfer_id).outcome == messages_pb2.OUTCOME_COMMIT

    shown: list[tuple[int, int]] = []
    token = first.next_page_token
    while token:
        page = stub.ListLocations(
            directory_pb2.ListLocationsRequest(page_size=2, page_token=token), timeout=60
        )
        assert page.as_of_index > first.as_of_index
        shown += [(row.block.start_serial, row.block.end_serial) for row in page.locations]
        token = page.next_page_token
    # What came after the first page's end has been joined with what stood before it.
    assert shown == [(2_500, 4_000), (4_000, 100_000)]
