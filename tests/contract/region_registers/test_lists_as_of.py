"""Public lists as of an earlier entry of the journal are what was read when that entry was the last one.

Lists are recorded during a life that is drawn from a seed, and compared when it is over, on both databases.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import Kind
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import journal
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.disclosure import Disclosures
from tanqiao_region.application.dossier_acts import KINDS_OF_DOSSIER
from tanqiao_region.application.group import Group
from tanqiao_region.application.list_fsck import check_versions
from tanqiao_region.application.records import take_record
from tanqiao_region.storage import versions
from tanqiao_region.storage.disclosure import ISSUED
from tanqiao_region.storage.dossiers import load_dossier
from tanqiao_region.storage.journal import read_entries
from tanqiao_region.storage.tables import issuance
from tanqiao_region.storage.version_tables import register_version
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN, Node, agreement
from tests.contract.region.test_certificates import Desk, desk  # noqa: F401 - a fixture
from tests.contract.region.test_orders import block_freeze, local_orders, signed
from tests.contract.region.test_rule_parameters import BUREAU as SZ_RECOGNISER
from tests.contract.region.test_rule_parameters import publish, surrender
from tests.contract.region_registers import test_random_dossiers as files
from tests.contract.region_registers import test_reserve as reserve
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import BUREAU, CENTRE, Office, ask, month, request_id

READ_TRIES_MAX: Final = 20
SIZE: Final = 500
MARK: Final = (versions.KEPT_FROM, "", 2, b"")
"""What the update that brings versions leaves beside a journal of two entries."""
MARKED: Final = ("register", "object_id", "first_index", "content")
Rows = list[tuple[str, tuple[str, ...]]]


@dataclass
class Recorder:
    """Reads all lists of a node again and again."""

    node: Node
    seen: dict[int, dict[str, Rows]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disclosures = Disclosures(self.node.context, self.node.region.database)

    def rows(self, slug: str, index: int = 0) -> tuple[int, Rows]:
        part = self.disclosures.page(slug, "", SIZE, index)
        return part.as_of_index, [(position, tuple(values)) for position, values in part.rows]

    def note(self) -> None:
        """Read every list at one head; answers of the bridge may move it meanwhile."""
        for _ in range(READ_TRIES_MAX):
            lists, index = self.disclosures.lists()
            found = {one.slug: self.rows(one.slug) for one in lists}
            if all(at == index for at, _ in found.values()):
                if index:
                    self.seen[index] = {slug: rows for slug, (_, rows) in found.items()}
                return
        pytest.fail("the journal did not stand still")

    def compare(self) -> None:
        """Every list as of every head that was seen, whole and row by row."""
        head = max(self.seen)
        for index, lists in self.seen.items():
            for slug, rows in lists.items():
                at, then = self.rows(slug, index)
                assert (at, then) == (index, rows), f"{slug} as of {index}, the head is {head}"
        index = sorted(self.seen)[len(self.seen) // 2]
        for slug, rows in self.seen[index].items():
            after, walked = "", []
            while part := self.disclosures.page(slug, after, 1, index).rows:
                walked.append((part[0][0], tuple(part[0][1])))
                after = part[0][0]
            assert walked == rows
        with self.node.region.database.reading() as connection:
            findings: list[str] = []
            check_versions(connection, findings.append)
        assert findings == []

    def changed(self) -> set[str]:
        """Lists that were not the same all the time."""
        every = list(self.seen.values())
        return {slug for slug in every[-1] if any(one[slug] != every[-1][slug] for one in every)}


def by_role(node: Node, role: str) -> By:
    region = node.context.region_code
    return By(f"operator/{region}/{role}", role)


def random_file(node: Node, account_id: str, draw: random.Random) -> Callable[[], object]:
    """A dossier of some kind, and steps that its machine opens next, by whoever may take them."""
    pack = node.context.pack(node.context.now().date())
    machines = {
        kind: pack.data.lifecycles[one.machine]
        for kind, one in KINDS_OF_DOSSIER.items()
        if one.machine in pack.data.lifecycles
    }
    kind = draw.choice(sorted(machines))
    dossier_id = f"SHCER0101001202{draw.randrange(10**6)}I"
    roles = sorted(pack.data.roles.roles)
    dossiers: Any = node.region.office.dossiers

    def attempt(call: Any, request: Any) -> bool:
        for role in draw.sample(roles, len(roles)):
            try:
                call(ask(request, by_role(node, role)), request)
            except DomainError:
                continue
            return True
        return False

    def act() -> None:
        request = dossiers_pb2.OpenDossierRequest(
            request_id=request_id(), dossier=files.dossier(kind, dossier_id, account_id)
        )
        if not attempt(dossiers.open, request):
            return
        for _ in range(draw.randrange(6)):
            with node.region.database.reading() as connection:
                row = load_dossier(connection, kind, dossier_id)
            assert row is not None
            state = row.message.state
            events = [edge.event for edge in machines[kind].transitions if edge.state == state]
            if events:
                step = dossiers_pb2.TakeStepRequest(
                    request_id=request_id(),
                    kind=kind,  # type: ignore[arg-type]  # numbers of the enumeration
                    dossier_id=dossier_id,
                    event=draw.choice(events),
                    evidence=files.evidence(node, good=draw.random() < 0.8),
                )
                attempt(dossiers.take_step, step)

    return act


def keep_expert(node: Node, role: str, draw: random.Random) -> None:
    request = dossiers_pb2.KeepExpertRequest(
        request_id=request_id(),
        expert=dossiers_pb2.Expert(
            expert_id=f"E-{draw.randrange(3)}",
            name=f"虚构专家 {draw.randrange(100)}",
            fields=["energy"],
            employer="虚构大学 invented",
            appoint_date=wire_date(date(2026, 1, 5)),
        ),
    )
    node.region.office.experts.keep(ask(request, by_role(node, role)), request)


@dataclass
class ShanghaiLife:
    """What may happen in Shanghai; most of it at any time."""

    office: Office
    network: NetworkOfTest
    bridge: ClaimBridge
    draw: random.Random
    projects: int = 0
    months: int = 0
    issued: int = 0
    orders: int = 0

    def project(self) -> None:
        self.projects += 1
        number = f"P-{self.projects}"
        code = f"PV01003101150{self.projects:02d}"
        self.office.submit(project_id=number, code=code, title=f"虚构 {number}")
        for act in (self.office.assess, self.office.open_notice)[: self.draw.randrange(3)]:
            act(project_id=number)
        self.office.turn_to(self.office.today + timedelta(days=self.draw.randrange(9)))

    def publish_one(self) -> None:
        self.office.publish(project_id=f"P-{self.draw.randrange(1, self.projects + 2)}")

    def withdraw(self) -> None:
        self.office.withdraw(project_id=f"P-{self.draw.randrange(1, self.projects + 2)}")

    def methodology(self) -> None:
        self.office.publish_methodology(methodology_id=f"SHCER0101{self.draw.randrange(100, 200)}2024I")

    def meter_and_issue(self) -> None:
        self.months += 1
        self.office.meter(month(f"2026-{self.months:02d}", on_grid_wh=self.draw.randrange(9, 40) * 10**6))
        self.office.issue(f"2026-{self.months:02d}", override_reason="虚构 invented")

    def use(self) -> None:
        done = len(self.bridge.finals)
        purpose = self.draw.choice(["voluntary", "event_neutrality"])
        selection = Selection(quantity_kg=self.draw.randrange(1, 900))
        answer = self.office.node.retire(self.office.owner, selection, purpose=purpose)
        if isinstance(answer, DomainError):
            raise answer
        if self.draw.random() < 0.7:
            self.bridge.wait_until(lambda: len(self.bridge.finals) > done)
            self.office.node.orders.wait_ended([answer], 30.0)

    def cancel(self) -> None:
        answer = self.office.node.retire(
            self.office.owner,
            Selection(quantity_kg=self.draw.randrange(1, 90)),
            kind=Kind.CANCEL,
            by=CENTRE,
            purpose="",
            purpose_text="虚构 invented",
            document_reference="虚构 1",
        )
        if isinstance(answer, DomainError):
            raise answer

    def freeze(self) -> None:
        node = self.office.node
        blocks = issued_blocks(node)
        if blocks:
            start = blocks[0].start + self.draw.randrange(900)
            frozen = UnitBlock(blocks[0].series_id, start, start + 200)
            order = block_freeze(frozen, unfreeze=self.draw.random() < 0.4)
            envelope = signed(self.network, order, audience=SHANGHAI)
            local_orders(node).submit("operator/310000/sh.centre", secrets.token_hex(8), envelope)

    def agree(self) -> None:
        self.orders += 1
        self.office.node.recognise(self.network, agreement_id=f"A-{self.orders}")

    def parameter(self) -> None:
        self.orders += 1
        publish(
            self.office.node,
            BUREAU,
            key=f"sh.surrender_rule[{2026 + self.orders}]",
            value_json='{"cap_kg": 100}',
            start_date=wire_date(self.office.today),
        )

    def file(self) -> None:
        random_file(self.office.node, self.office.owner, self.draw)()

    def expert(self) -> None:
        keep_expert(self.office.node, "sh.bureau", self.draw)


def issued_blocks(node: Node) -> list[UnitBlock]:
    columns = issuance.c
    with node.region.database.reading() as connection:
        rows = connection.execute(
            sa.select(columns.series_id, columns.start_serial, columns.end_serial)
            .where(columns.state == ISSUED)
            .order_by(columns.series_id, columns.start_serial)
        )
        return [UnitBlock(*row) for row in rows]


ACTS: Final = (
    "project",
    "publish_one",
    "withdraw",
    "methodology",
    "meter_and_issue",
    "use",
    "cancel",
    "freeze",
    "agree",
    "parameter",
    "file",
    "expert",
)


def live(office: Office, network: NetworkOfTest, bridge: ClaimBridge, seed: int, acts: int) -> Recorder:
    draw = random.Random(seed)
    recorder = Recorder(office.node)
    office.published()
    recorder.note()
    life = ShanghaiLife(office, network, bridge, draw)
    order = [*ACTS, *draw.choices(ACTS, k=acts)]
    draw.shuffle(order)
    refused: list[str] = []
    # The first acts are there in every life, so that every list changes, whatever the seed draws.
    for name in ["meter_and_issue", "project", "publish_one", *order]:
        try:
            getattr(life, name)()
        except DomainError as refusal:
            refused.append(f"{name} {refusal}")
        recorder.note()
    assert len(refused) < len(order) / 2, refused
    return recorder


def test_lists_of_a_random_life_are_given_as_of_every_index(
    on_the_line: Office, network: NetworkOfTest, bridge: ClaimBridge
) -> None:
    recorder = live(on_the_line, network, bridge, seed=6, acts=4)
    recorder.compare()
    assert recorder.changed() >= {"projects", "methodologies", "issuances", "uses", "rule-documents"}
    assert "recognition-agreements" in recorder.changed()


def test_an_agreement_stands_from_its_entry_of_the_journal(
    on_the_line: Office, network: NetworkOfTest
) -> None:
    recorder = Recorder(on_the_line.node)
    slug = "recognition-agreements"
    _, head = recorder.disclosures.lists()
    on_the_line.node.recognise(network, agreement_id="A-1")
    with on_the_line.node.region.database.reading() as connection:
        rows = read_entries(connection, from_index=head + 1, limit=10, kinds=[journal.AGREEMENT_RECORDED])
    (entry,) = (journal.entry_message(row) for row in rows)
    assert entry.subject_id == "A-1"
    assert len(entry.message_hash) == 32
    assert {**entry.details} == {
        "from_region": SHANGHAI,
        "to_region": SHENZHEN,
        "from": "2026-01-01",
        "to": "2027-01-01",
    }
    assert [position for position, _ in recorder.rows(slug)[1]] == ["A-1"]
    assert recorder.rows(slug, entry.journal_index - 1)[1] == []


def test_agreements_of_one_transaction_stand_each_from_its_own_entry(
    on_the_line: Office, network: NetworkOfTest
) -> None:
    """Messages of one frame leave their entries together: none is in the table when the next one comes."""
    recorder = Recorder(on_the_line.node)
    names = ["A-1", "A-2", "A-3"]

    def work(group: Group) -> int:
        last = group.journal.last_index
        for name in names:
            envelope = agreement(network, agreement_id=name)
            take_record(group, messages_pb2.RecordNotice(record=envelope, log_index=0))
        return last

    last = on_the_line.node.run(work)
    for count in range(len(names) + 1):
        _, rows = recorder.rows("recognition-agreements", last + count)
        assert [position for position, _ in rows] == names[:count]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_lists_of_longer_lives(
    on_the_line: Office, network: NetworkOfTest, bridge: ClaimBridge, seed: int
) -> None:
    live(on_the_line, network, bridge, seed, acts=60).compare()


def test_lists_of_Shenzhen_with_certificates_and_the_yearly_notice(desk: Desk) -> None:  # noqa: F811
    recorder = Recorder(desk.node)
    draw = random.Random(3)
    recorder.note()
    publish(desk.node)
    recorder.note()
    made = desk.signed(0, 100, name_beneficiary=True)
    recorder.note()
    other = desk.signed(100, 150)
    recorder.note()
    desk.step(
        made.number,
        "revoke",
        SZ_RECOGNISER,
        reason="虚构 invented",
        document_reference="虚构 1",
    )
    recorder.note()
    assert not isinstance(surrender(desk.node, desk.account, 200, 260), DomainError)
    recorder.note()
    for _ in range(3):
        random_file(desk.node, desk.account, draw)()
        keep_expert(desk.node, "sz.bureau", draw)
        recorder.note()
    recorder.compare()
    assert recorder.changed() >= {"certificates", "offset-notice", "policies", "expert-pool"}
    assert other.number != made.number


def test_the_reserve_is_shown_as_it_stood(yunnan: Office, bridge: ClaimBridge) -> None:
    recorder = Recorder(yunnan.node)
    recorder.note()
    for number, low_income in ((1, False), (2, True), (3, False)):
        yunnan.enter(
            entry_id=f"R-{number}",
            low_income_area=low_income,
            asset=reserve.asset(f"HY010053010000{number}"),
        )
        recorder.note()
    reserve.step(yunnan, "develop", entry_id="R-2")
    recorder.note()
    reserve.step(yunnan, "leave", entry_id="R-3", reason="虚构 invented")
    recorder.note()
    recorder.compare()
    assert recorder.changed() == {"reserve"}
    assert bridge.claims.received


def test_an_index_that_cannot_be_given_is_refused(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    recorder = Recorder(node)
    for number in range(3):
        node.open_account(f"虚构 {number}")
    assert recorder.rows("methodologies", 3) == (3, [])
    assert recorder.rows("methodologies", 1) == (1, [])
    for index, symbol in ((4, "JOURNAL_INDEX_AHEAD"), (-1, "FIELD_INVALID")):
        with pytest.raises(DomainError, match=symbol):
            recorder.rows("methodologies", index)
        with pytest.raises(DomainError, match=symbol):
            recorder.disclosures.lists(index)
    with node.region.database.reading() as connection:
        assert versions.kept_from(connection) == 1
    node.run(lambda group: insert_rows(group.connection, register_version, [MARK], MARKED))
    with pytest.raises(DomainError) as caught:
        recorder.rows("methodologies", 1)
    assert (caught.value.symbol, caught.value.metadata["first"]) == ("JOURNAL_INDEX_TOO_EARLY", "2")
    assert recorder.rows("methodologies", 2) == (2, [])
    with pytest.raises(DomainError, match="NOT_FOUND"):
        recorder.rows("nothing", 2)


def test_fsck_names_an_object_whose_newest_version_is_another(yunnan: Office, shanghai: Office) -> None:
    assert yunnan.node.party == YUNNAN
    shanghai.publish_methodology()
    shanghai.submit()
    node = shanghai.node
    findings: list[str] = []
    with node.region.database.reading() as connection:
        assert check_versions(connection, findings.append) == 2
    assert findings == []

    def work(group: Any) -> None:
        versions.keep_version(group.connection, versions.PROJECT, "PV-INVENTED-1", b"\x0a\x01x")
        versions.keep_version(group.connection, versions.EXPERT, "E-9", b"")

    node.run(work)
    with node.region.database.reading() as connection:
        check_versions(connection, findings.append)
    assert sorted(findings) == [
        "expert E-9 has versions and is in no register",
        "project PV-INVENTED-1 is not what its newest version says",
    ]
