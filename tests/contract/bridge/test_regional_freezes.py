"""A region's project asks the certificates' registry to freeze, with its owner's consent (虚构)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2, messages_pb2
from tanqiao.api.bridge.v1 import coordination_pb2_grpc as coordination_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.rpc.channel import open_channel
from tanqiao.testing.network import SHANGHAI, SHANGHAI_CENTRE, SHENZHEN
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.rebuilding_claims import RebuiltClaims
from tanqiao_bridge.storage import registry_orders
from tanqiao_bridge.storage.cases import OPEN
from tanqiao_bridge.storage.leaf_records import leaf_records
from tanqiao_bridge.storage.tables import conflict_case, log_leaf, registry_order
from tanqiao_gateway.application.fsck import check_database
from tests.contract.bridge.case_office import ALLOW as STANDS
from tests.contract.bridge.case_office import cases_of, resolve
from tests.contract.bridge.claims_office import (
    ALLOW,
    CANCELLED,
    DECLARED,
    FREEZE_OTHER,
    GEC,
    HOLD,
    NOTICE,
    PROJECT,
    REGISTERED,
    REJECTED,
    UNSOLD,
    WITHDRAWN_STATUS,
    Office,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, claim_of, declare, issue_message
from tests.contract.bridge.lists import certificates
from tests.contract.bridge.notice_office import (
    ACKNOWLEDGED,
    CONFIRMED,
    PART_CONFIRMED,
    REFUSED,
    NoticeOffice,
)

__all__ = ["lists", "office"]

PLANT = "310000:project:1"
FREEZE = coordination_pb2.REGISTRY_ORDER_KIND_FREEZE
CANCEL = coordination_pb2.REGISTRY_ORDER_KIND_CANCEL
RELEASE = coordination_pb2.REGISTRY_ORDER_KIND_RELEASE


@dataclass
class Desk:
    """Shanghai's centre and the certificates' registry, with the bridge between them."""

    office: Office
    notice: NoticeOffice
    region: PlayedRegion

    def kinds(self) -> list[int]:
        """What was ordered for the project, oldest first."""
        return [int(one.order.kind) for one in reversed(self.notice.orders(PLANT))]

    def newest(self) -> coordination_pb2.OrderEntry:
        return self.notice.orders(PLANT)[0]

    def cases(self) -> list[tuple[str, str]]:
        with self.office.running.bridge.database.reading() as connection:
            columns = (conflict_case.c.kind, conflict_case.c.subject)
            rows = connection.execute(sa.select(*columns).order_by(conflict_case.c.case_id)).all()
        return [(row.kind, row.subject) for row in rows]

    def opened(self) -> None:
        """Open the project's notice; the certificates of its plant are frozen for it."""
        self.office.declared(project())
        self.office.move(PLANT, NOTICE)
        self.confirmed()

    def registered(self) -> None:
        """Have the project registered over certificates that are frozen for it."""
        self.opened()
        self.office.move(PLANT, NOTICE)
        self.office.move(PLANT, REGISTERED)

    def confirmed(self) -> None:
        """Let the certificates' registry do all of the newest order."""
        order_id = self.newest().order.order_id
        self.notice.decide(order_id)
        self.notice.wait_for(order_id, PLANT, CONFIRMED)

    def issue(self, claim_id: str, first: int, declared: claims_pb2.DeclareClaimResponse) -> list[str]:
        """Offer an Issue on an instalment; the reasons of the bridge's refusal, none if it was accepted."""
        return self.offered(issue_message(self.region, declared, claim_id, first, first + 100_000))

    def offered(self, issue: messages_pb2.Issue) -> list[str]:
        """Offer an Issue; the reasons of the bridge's refusal, none if it was accepted."""
        self.region.offer([issue])
        self.region.wait(lambda: issue.issue_id in self.region.receipts)
        receipt = self.region.receipts[issue.issue_id]
        assert receipt.accepted == (not receipt.reasons)
        return [one.reason for one in receipt.reasons]


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    region = PlayedRegion(office.running, SHANGHAI).connect()
    yield Desk(office, NoticeOffice(office), region)
    region.disconnect()


def require_orders_in_the_mirror(office: Office) -> None:
    """Demand that what goes to mirrors beside the leaves gives every order back, bit for bit."""
    wanted = sa.select(registry_order).order_by(registry_order.c.order_id)
    with office.running.bridge.database.reading() as connection:
        stored = connection.execute(sa.select(log_leaf.c.leaf).order_by(log_leaf.c.log_index)).scalars()
        leaves = [decode_leaf(bytes(leaf)) for leaf in stored]
        records = leaf_records(connection, 0, leaves)
        before = [tuple(row) for row in connection.execute(wanted)]
    empty = sa.create_engine("sqlite://")
    registry_order.create(empty)
    with empty.begin() as connection:
        rebuilt = RebuiltClaims(connection)
        for log_index, record in enumerate(records):
            rebuilt.orders_of(log_index, record)
        after = [tuple(row) for row in connection.execute(wanted)]
    empty.dispose()
    assert before
    assert repr(after) == repr(before)


def project() -> claims_pb2.Claim:
    claim = claim_of(PLANT, kind=PROJECT, filing_code=UNSOLD, end="2027-01-01")
    claim.gec_freeze_consent = True
    return claim


def instalment(number: int, **changes: str) -> claims_pb2.Claim:
    claim = claim_of(f"310000:instalment:{number}", filing_code=UNSOLD, **changes)  # type: ignore[arg-type]
    claim.gec_freeze_consent = True
    return claim


def test_a_notice_asks_for_a_freeze_and_what_was_confirmed_lets_the_project_on(desk: Desk) -> None:
    declared = desk.office.declared(project())
    assert (declared.status, declared.verdict.verdict) == (DECLARED, FREEZE_OTHER)
    assert desk.kinds() == [], "a place in the queue asks nobody"
    opened = desk.office.move(PLANT, NOTICE)
    assert (opened.status, opened.verdict.verdict) == (NOTICE, FREEZE_OTHER)
    order = desk.newest().order
    assert (order.kind, order.claim_id, order.article) == (FREEZE, PLANT, opened.verdict.article)
    assert [one.value for one in order.references] == [UNSOLD]
    assert (order.period.end_date.year, order.standing_until_date.year) == (2027, 2029)
    desk.notice.wait_for(order.order_id, PLANT, ACKNOWLEDGED)
    # Silence is HOLD: the region may ask again and again, and nobody is ordered twice.
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == FREEZE_OTHER
    assert refusal(desk.office.move, PLANT, REGISTERED).symbol == "EXTERNAL_REGISTRY_SILENT"
    assert desk.kinds() == [FREEZE]
    held = declare(desk.office.running, SHANGHAI, instalment(1))
    assert held.receipt.verdict.verdict == FREEZE_OTHER
    assert desk.issue("310000:instalment:1", 0, held) == ["EXTERNAL_REGISTRY_SILENT"]
    assert desk.kinds() == [FREEZE], "an instalment waits for the request that its project has made"

    assert desk.notice.decide(order.order_id).state == CONFIRMED
    desk.notice.wait_for(order.order_id, PLANT, CONFIRMED)
    assert desk.notice.certificates(UNSOLD) == {"FROZEN": 240}
    assert desk.office.status_of(PLANT) == NOTICE, "its region moves it"
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    # What was declared before is not issued on what was said then; declared anew it passes.
    assert desk.issue("310000:instalment:1", 0, held) == ["EXTERNAL_REGISTRY_SILENT"]
    assert desk.office.move("310000:instalment:1", WITHDRAWN_STATUS).status == WITHDRAWN_STATUS
    again = declare(desk.office.running, SHANGHAI, instalment(2))
    assert again.receipt.verdict.verdict == ALLOW
    assert desk.issue("310000:instalment:2", 0, again) == []
    # In the transaction that made the units, the certificates of their electricity were ordered cancelled.
    order = desk.newest().order
    assert (order.kind, [one.quantity for one in order.quantities]) == (CANCEL, [240])
    assert desk.notice.decide(order.order_id).confirmed_quantity_mwh == 240
    desk.notice.wait_for(order.order_id, PLANT, CONFIRMED)
    assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 240}
    assert desk.cases() == []
    desk.office.require_clean()
    require_orders_in_the_mirror(desk.office)


def test_a_refusal_opens_a_case_and_a_project_that_ends_releases_what_is_frozen(desk: Desk) -> None:
    desk.office.declared(project())
    desk.office.move(PLANT, NOTICE)
    first = desk.newest().order.order_id
    assert desk.notice.decide(first, refuse=True, reason="业主另有安排（虚构）").state == REFUSED
    desk.notice.wait_for(first, PLANT, REFUSED)
    assert desk.cases() == [("coordination", PLANT)]
    assert desk.office.status_of(PLANT) == NOTICE
    assert refusal(desk.office.move, PLANT, REGISTERED).symbol == "EXTERNAL_REGISTRY_SILENT"
    # Asked once more it is a new request; what was frozen on it is released when the project is withdrawn.
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == FREEZE_OTHER
    second = desk.newest().order.order_id
    assert second != first
    desk.notice.decide(second)
    desk.notice.wait_for(second, PLANT, CONFIRMED)
    assert desk.office.move(PLANT, WITHDRAWN_STATUS).status == WITHDRAWN_STATUS
    assert desk.kinds() == [FREEZE, FREEZE, RELEASE]
    release = desk.newest().order.order_id
    desk.notice.decide(release)
    desk.notice.wait_for(release, PLANT, CONFIRMED)
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
    desk.office.require_clean()


def test_certificates_that_come_later_are_asked_for_by_the_first_instalment_that_meets_them(
    desk: Desk,
) -> None:
    desk.office.lists["gec"].load([certificates("GEC-OTHER", "99310000000000799")])
    desk.office.declared(project())
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    desk.office.lists["gec"].load([certificates("GEC-UNSOLD", UNSOLD)])
    held = declare(desk.office.running, SHANGHAI, instalment(1))
    assert held.receipt.verdict.verdict == FREEZE_OTHER
    order = desk.newest().order
    assert (order.kind, order.claim_id) == (FREEZE, PLANT), "in the name of the project, for its whole period"
    desk.office.move("310000:instalment:1", WITHDRAWN_STATUS)
    assert desk.kinds() == [FREEZE], "an instalment that is taken back releases nothing of its project's"
    desk.notice.decide(order.order_id)
    desk.notice.wait_for(order.order_id, PLANT, CONFIRMED)
    again = declare(desk.office.running, SHANGHAI, instalment(2))
    assert again.receipt.verdict.verdict == ALLOW
    assert desk.office.move(PLANT, CANCELLED).status == CANCELLED
    assert desk.kinds() == [FREEZE, RELEASE]
    desk.office.require_clean()


def test_nothing_is_issued_on_what_was_said_before_the_freeze_was_released(desk: Desk) -> None:
    desk.registered()
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert declared.receipt.verdict.verdict == ALLOW
    desk.office.move(PLANT, CANCELLED)
    assert desk.issue("310000:instalment:1", 0, declared) == ["EXTERNAL_REGISTRY_SILENT"]
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
    assert desk.issue("310000:instalment:1", 0, declared) == ["EXTERNAL_REGISTRY_SILENT"]
    # Its region may have it judged once more: it is said what stands against it now.
    assert desk.office.move("310000:instalment:1", NOTICE).verdict.verdict == FREEZE_OTHER
    assert desk.issue("310000:instalment:1", 0, declared) == ["EXTERNAL_REGISTRY_SILENT"]
    desk.office.require_clean()


def take_back_the_list(desk: Desk) -> None:
    """Undo the newest import of certificates: their registry has nothing to say."""
    gec = desk.office.lists["gec"]
    with open_channel(gec.address, gec.network.network.tls(SHANGHAI_CENTRE)) as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        imports = stub.ListImports(registry_pb2.ListImportsRequest(), timeout=WAIT_SECONDS).imports
        undo = registry_pb2.UndoImportRequest(
            request_id=f"undo-of-test-{len(imports)}", import_id=imports[0].import_id, reason="test"
        )
        stub.UndoImport(undo, timeout=WAIT_SECONDS)


def test_a_claim_that_stands_again_waits_for_the_freeze_as_any_other(desk: Desk) -> None:
    gec = desk.office.lists["gec"]
    take_back_the_list(desk)
    held = declare(desk.office.running, SHANGHAI, instalment(1))
    assert held.receipt.verdict.verdict == HOLD
    gec.load(GEC)
    (case,) = cases_of(desk.office.running)
    resolve(desk.office.running, case.case_id, STANDS)
    assert desk.office.status_of("310000:instalment:1") == DECLARED
    assert desk.issue("310000:instalment:1", 0, held) == ["EXTERNAL_REGISTRY_SILENT"]
    assert desk.office.move("310000:instalment:1", NOTICE).verdict.verdict == FREEZE_OTHER
    desk.office.require_clean()


def test_each_issue_of_an_offer_has_its_own_order_and_one_refused_has_none(desk: Desk) -> None:
    desk.registered()
    periods = {1: ("2026-01-01", "2026-01-11"), 2: ("2026-01-11", "2026-02-01")}
    offered = []
    for number, (start, end) in periods.items():
        claim = instalment(number, start=start, end=end)
        claim.activity_quantity = 100
        declared = declare(desk.office.running, SHANGHAI, claim)
        offered.append(
            issue_message(desk.region, declared, claim.claim_id, number * 1_000_000, 100_000, (start, end))
        )
        if number == 1:
            again = issue_message(desk.region, declared, claim.claim_id, 9_000_000, 100_000, (start, end))
    offered.append(again)
    desk.region.offer(offered)
    desk.region.wait(lambda: all(issue.issue_id in desk.region.receipts for issue in offered))
    receipts = [desk.region.receipts[issue.issue_id] for issue in offered]
    assert [receipt.accepted for receipt in receipts] == [True, True, False]
    orders = [one.order for one in reversed(desk.notice.orders(PLANT)) if one.order.kind == CANCEL]
    assert [(one.log_index, one.header.prev_hash) for one in orders] == [
        (receipt.log_index, receipt.issue_hash) for receipt in receipts[:2]
    ]
    # So they are found page by page.
    request = coordination_pb2.ListOrdersRequest(claim_id=PLANT, page_size=1)
    found = 0
    with desk.office.running.channel(SHANGHAI_CENTRE) as channel:
        stub = coordination_grpc.CoordinationServiceStub(channel)
        while found == 0 or request.page_token:
            response = stub.ListOrders(request, timeout=WAIT_SECONDS)
            found, request.page_token = found + len(response.orders), response.next_page_token
    assert found == len(desk.kinds()) == 3
    require_orders_in_the_mirror(desk.office)
    desk.office.require_clean()


def test_an_instalment_asks_for_no_project_that_is_only_declared(desk: Desk) -> None:
    desk.office.declared(project())
    assert declare(desk.office.running, SHANGHAI, instalment(1)).receipt.verdict.verdict == FREEZE_OTHER
    assert desk.kinds() == [], "a place in the queue asks nobody, whoever stands behind it"
    desk.office.move(PLANT, NOTICE)
    assert desk.kinds() == [FREEZE]


def test_what_is_frozen_in_part_is_released_however_many_requests_were_refused_since(desk: Desk) -> None:
    desk.office.declared(project())
    desk.office.move(PLANT, NOTICE)
    first = desk.newest().order
    desk.notice.decide(first.order_id, quantity_mwh=100, reason="其余另有安排（虚构）")
    desk.notice.wait_for(first.order_id, PLANT, PART_CONFIRMED)
    desk.office.declared(claim_of("310000:project:9", kind=PROJECT, project_id="P-0009"))  # the log goes on

    def refuse_many(unit: UnitOfWork) -> None:
        partial = registry_orders.load_order(unit.connection, first.order_id)
        assert partial is not None
        for number in range(100):
            order_id = number.to_bytes(16, "big")
            refused = replace(partial, order_id=order_id, log_index=first.log_index + 1)
            registry_orders.insert_order(unit.connection, refused)
            registry_orders.insert_answer(
                unit.connection, order_id, decided=True, state=REFUSED, envelope=b"", now=1
            )
        unit.commit()

    run_in_transaction(desk.office.running.bridge.database, refuse_many)
    desk.office.move(PLANT, WITHDRAWN_STATUS)
    assert desk.newest().order.kind == RELEASE
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 100, "ISSUED": 140}


def test_what_was_issued_is_cancelled_though_its_project_ends_before_that_is_decided(desk: Desk) -> None:
    desk.registered()
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert desk.issue("310000:instalment:1", 0, declared) == []
    cancel = desk.newest().order.order_id
    desk.office.move(PLANT, CANCELLED)
    release = desk.newest().order.order_id
    assert desk.kinds() == [FREEZE, CANCEL, RELEASE]
    assert refusal(desk.notice.decide, release).symbol == "ORDER_REFUSED"
    assert desk.notice.decide(cancel).confirmed_quantity_mwh == 240
    desk.notice.wait_for(cancel, PLANT, CONFIRMED)
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 240}
    assert desk.cases() == []
    desk.office.require_clean()


def test_what_is_frozen_for_a_project_that_has_ended_explains_itself_to_no_other(desk: Desk) -> None:
    desk.registered()
    desk.office.move(PLANT, CANCELLED)
    other = project()
    other.claim_id, other.project_id = "310000:project:2", "P-0002"
    held = desk.office.declared(other)
    assert (held.verdict.verdict, desk.notice.certificates(UNSOLD)) == (HOLD, {"FROZEN": 240})
    desk.confirmed()
    other.claim_id = "310000:project:3"
    assert desk.office.check(other).verdict == FREEZE_OTHER, "released, they are unsold as others are"


@pytest.mark.parametrize(
    ("region", "project_id"), [(SHANGHAI, "P-0002"), (SHENZHEN, "P-0002"), (SHENZHEN, PLANT)]
)
def test_who_has_the_other_half_of_a_plant_issues_nothing_over_what_is_frozen_for_the_first(
    desk: Desk, region: str, project_id: str
) -> None:
    half, other = (
        project(),
        claim_of("310000:project:2", kind=PROJECT, region=region, filing_code=UNSOLD, project_id=project_id),
    )
    other.gec_freeze_consent = True
    for claim in (half, other):
        claim.part.share_ppm = 500_000
    desk.office.declared(half)
    desk.office.move(PLANT, NOTICE)
    desk.confirmed()
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    month = instalment(2, project_id=project_id, region=region)
    month.part.share_ppm = 500_000
    for claim in (other, month):
        held = desk.office.declared(claim)
        assert (held.status, held.verdict.verdict) == (REJECTED, HOLD)
        assert [one.claim_id for one in held.verdict.colliding_claims] == ["gec:GEC-UNSOLD"]
    # Nothing would be cancelled for it, and the first ends as it likes: then it is asked for as any other.
    assert desk.office.move(PLANT, CANCELLED).status == CANCELLED
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
    other.claim_id = "310000:project:3"
    assert desk.office.declared(other).verdict.verdict == FREEZE_OTHER
    require_all_clean(desk)


def hold_and_reject(desk: Desk) -> int:
    """Have the opened project held for what is frozen for nobody, and rejected meanwhile; its open case."""
    frozen = certificates(
        "GEC-FROZEN", UNSOLD, state="FROZEN", period_start="2026-05-01", period_end="2026-06-01"
    )
    desk.office.lists["gec"].load([*GEC, frozen])
    assert refusal(desk.office.move, PLANT, NOTICE).symbol == "CLAIM_HOLD"
    take_back_the_list(desk)
    assert desk.office.move(PLANT, REJECTED).status == REJECTED
    (case,) = [one for one in cases_of(desk.office.running) if one.state == OPEN]
    return int(case.case_id)


def stands_over_a_refused_release(desk: Desk) -> None:
    """Have the project stand again, declared, after the registry refused to release what is frozen for it."""
    desk.opened()
    case_id = hold_and_reject(desk)
    release = desk.newest().order.order_id
    desk.notice.decide(release, refuse=True, reason="另案冻结（虚构）")
    desk.notice.wait_for(release, PLANT, REFUSED)
    resolve(desk.office.running, case_id, STANDS)
    assert desk.office.status_of(PLANT) == DECLARED


def require_all_clean(desk: Desk) -> None:
    desk.office.require_clean()
    require_orders_in_the_mirror(desk.office)
    report = check_database(desk.office.lists["gec"].gateway.database)
    assert report.clean, report.as_text()


def test_a_project_that_a_case_lets_stand_again_is_frozen_for_again_and_issues_over_that_alone(
    desk: Desk,
) -> None:
    desk.opened()
    before = declare(desk.office.running, SHANGHAI, instalment(1))
    assert before.receipt.verdict.verdict == ALLOW
    case_id = hold_and_reject(desk)
    assert desk.kinds() == [FREEZE, RELEASE]
    # Its certificates look frozen for it, and are about to be free: it stands again once that is decided.
    assert desk.notice.certificates(UNSOLD) == {"FROZEN": 240}
    waiting = refusal(resolve, desk.office.running, case_id, STANDS)
    assert waiting.symbol == "EXTERNAL_REGISTRY_SILENT"
    assert desk.office.status_of(PLANT) == REJECTED
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
    resolve(desk.office.running, case_id, STANDS)
    assert desk.office.status_of(PLANT) == DECLARED

    # What was said before the release counts no more, nor does the freeze of then.
    assert desk.issue("310000:instalment:1", 0, before) == ["EXTERNAL_REGISTRY_SILENT"]
    assert refusal(desk.office.move, PLANT, REGISTERED).symbol == "EXTERNAL_REGISTRY_SILENT"
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == FREEZE_OTHER
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE]
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == FREEZE_OTHER
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE], "one request at a time"
    assert desk.office.move("310000:instalment:1", NOTICE).verdict.verdict == FREEZE_OTHER
    assert desk.issue("310000:instalment:1", 0, before) == ["EXTERNAL_REGISTRY_SILENT"]
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"FROZEN": 240}
    # It is a standing order as the first was: what a newer list shows is frozen too.
    desk.office.lists["gec"].load(
        [*GEC, certificates("GEC-LATER", UNSOLD, period_start="2026-02-01", period_end="2026-03-01")]
    )
    assert set(desk.notice.certificates(UNSOLD)) == {"FROZEN"}
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    assert desk.office.move("310000:instalment:1", NOTICE).verdict.verdict == ALLOW
    assert desk.issue("310000:instalment:1", 0, before) == []
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, CANCEL]
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD)["CANCELLED"] == 240
    # As it ends, what is frozen is released as the first time.
    assert desk.office.move(PLANT, CANCELLED).status == CANCELLED
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, CANCEL, RELEASE]
    desk.confirmed()
    assert "FROZEN" not in desk.notice.certificates(UNSOLD)
    require_all_clean(desk)


def test_a_release_that_was_refused_has_left_the_freeze_and_ends_nothing(desk: Desk) -> None:
    stands_over_a_refused_release(desk)
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED, "it is frozen"
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert desk.issue("310000:instalment:1", 0, declared) == []
    # As it goes on without a notice it has asked again, for what is issued later.
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, CANCEL]
    desk.confirmed()
    desk.office.move(PLANT, CANCELLED)
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, CANCEL, RELEASE]
    require_all_clean(desk)


def test_what_is_issued_after_a_refused_release_is_frozen_for_a_project_that_stands_again(
    desk: Desk,
) -> None:
    stands_over_a_refused_release(desk)
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW, "what there is is frozen"
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE], "one request at a time"
    again, _, first = (one.order for one in desk.notice.orders(PLANT))
    assert first.article
    assert (again.article, again.period, again.references) == (first.article, first.period, first.references)
    desk.notice.decide(again.order_id, refuse=True, reason="业主另有安排（虚构）")
    desk.notice.wait_for(again.order_id, PLANT, REFUSED)
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, FREEZE], "asked once more it is a new request"
    desk.confirmed()
    desk.office.lists["gec"].load(
        [*GEC, certificates("GEC-LATER", UNSOLD, period_start="2026-02-01", period_end="2026-03-01")]
    )
    assert desk.notice.certificates(UNSOLD) == {"FROZEN": 480}
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    assert desk.kinds() == [FREEZE, RELEASE, FREEZE, FREEZE], "it stands"
    require_all_clean(desk)


def test_nothing_is_cancelled_for_a_project_that_stands_again_without_a_freeze(desk: Desk) -> None:
    desk.opened()
    case_id = hold_and_reject(desk)
    desk.confirmed()
    desk.office.lists["gec"].load([certificates("GEC-OTHER", "99310000000000799")])
    resolve(desk.office.running, case_id, STANDS)
    assert desk.office.move(PLANT, NOTICE).verdict.verdict == ALLOW, "its plant has no certificates"
    assert desk.office.move(PLANT, REGISTERED).status == REGISTERED
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert desk.issue("310000:instalment:1", 0, declared) == []
    assert desk.kinds() == [FREEZE, RELEASE]
    desk.office.move(PLANT, CANCELLED)
    assert desk.kinds() == [FREEZE, RELEASE], "nothing has been frozen since"
    require_all_clean(desk)
