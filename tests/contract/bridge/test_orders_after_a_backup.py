"""Orders that a bridge gave and forgot: it was restored from a backup of before them (虚构)."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import claims_pb2, recovery_pb2, recovery_pb2_grpc
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHENZHEN
from tanqiao_bridge.bootstrap import restore_from
from tanqiao_bridge.storage import policy
from tanqiao_gateway.application.fsck import check_database
from tests.contract.bridge.claims_office import CANCELLED, NOTICE, REGISTERED, Office, lists, office
from tests.contract.bridge.conftest import _migrated
from tests.contract.bridge.harness import WAIT_SECONDS, run_bridge, settings_of
from tests.contract.bridge.notice_office import CONFIRMED, REGISTER, WITHDRAW, NoticeOffice, project
from tests.contract.bridge.test_coordination import FARM, _issue, notice

__all__ = ["lists", "notice", "office"]


def _report_nothing(office: Office, epoch: int) -> None:
    """Have every region say that it has nothing above the backup."""
    with office.running.bridge.database.reading() as connection:
        regions = sorted(policy.known_regions(connection))
    assert regions
    for region in regions:
        with office.running.channel(region) as channel:
            stub = recovery_pb2_grpc.RecoveryServiceStub(channel)
            request = recovery_pb2.SubmitReportRequest(bridge_epoch=epoch, complete=True)
            stub.SubmitReport(request, timeout=WAIT_SECONDS)


def _restored_from_the_first_day(notice: NoticeOffice, url: str, owner_url: str) -> None:
    """Lose the bridge, and go on with a database in which nothing had happened yet."""
    office, network = notice.office, notice.network
    office.close_channels()
    office.running.bridge.stop()
    run_bridge(network, url, owner_url).bridge.stop()
    root = network.network.home / "authorities" / "bridge" / "root"
    begun = restore_from(settings_of(network, url, owner_url), None, root, None, None)
    addresses = {name: one.address for name, one in office.lists.items()}
    office.running = run_bridge(network, url, owner_url, gateways=addresses)
    office.stub(SHENZHEN)
    _report_nothing(office, begun.epoch)


def test_an_order_that_was_forgotten_is_given_again_and_done_once(
    notice: NoticeOffice, database_kind: str, database_maker: DatabaseMaker
) -> None:
    office = notice.office
    gec = office.lists["gec"].gateway
    statement = notice.signed(REGISTER, project("ccer:farm", FARM))
    first = notice.submit(statement)
    notice.decide(first.order_id)
    notice.wait_for(first.order_id, "ccer:farm", CONFIRMED)
    backup = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(notice, backup.url, backup.owner_url)
    assert notice.orders("ccer:farm") == []

    again = notice.submit(statement)
    assert (again.receipt.status, again.order_id) == (NOTICE, first.order_id)
    notice.wait_for(first.order_id, "ccer:farm", CONFIRMED)
    assert office.status_of("ccer:farm") == REGISTERED
    assert notice.certificates(FARM) == {"FROZEN": 240}
    assert len(notice.received()) == 1, "the registry was ordered once"

    issued = _issue(notice, "ccer:farm:1", FARM, 200)
    order_id = issued.order_id  # type: ignore[attr-defined]
    assert notice.decide(order_id).confirmed_quantity_mwh == 200
    notice.wait_for(order_id, "ccer:farm", CONFIRMED)
    gone = notice.step(WITHDRAW, claims_pb2.Claim(claim_id="ccer:farm"))
    assert gone.receipt.status == CANCELLED
    assert notice.decide(gone.order_id).confirmed_quantity_mwh == 40
    notice.wait_for(gone.order_id, "ccer:farm", CONFIRMED)
    assert notice.certificates(FARM) == {"CANCELLED": 200, "UNFROZEN": 40}
    assert check_database(gec.database).clean
    office.require_clean()
    assert office.running.bridge.context.epoch == 2, BRIDGE
