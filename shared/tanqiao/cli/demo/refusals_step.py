"""Step e: four refusals, each with its code, its sentence in both languages and the article that decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2, registers_pb2
from tanqiao.cli.demo.cast import METHODOLOGY_SHANGHAI, METHODOLOGY_SHENZHEN, Plant, invented_uscc
from tanqiao.cli.demo.registers import open_account, project_of, shenzhen_documents
from tanqiao.cli.demo.story import Story
from tanqiao.cli.local.members import SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.cli.output import cited_articles
from tanqiao.cli.parse import to_date
from tanqiao.kernel.errors import DomainError

ASKED_KG = 1_000
MONTH_END = date(2026, 3, 1)
MONTH_START = date(2026, 2, 1)


def refusals(story: Story) -> None:
    """Try what must not be, with invented plants only."""
    story.begin("e", "四项拒绝", "Four refusals")
    story.found.small_enterprise = open_account(
        story,
        story.operator(SHENZHEN, "sz.platform_operator"),
        story.cast.applied_elsewhere.owner,
        accounts_pb2.ACCOUNT_KIND_SMALL_BUSINESS,
        story.cast.applied_elsewhere.uscc,
        "small-enterprise",
    )
    _applied_under_ccer(story)
    _certificates_sold(story)
    _to_yunnan(story)
    _same_month(story)


def _expect(
    story: Story, title: str, symbols: tuple[str, ...], article: str, attempt: Callable[[], object]
) -> None:
    """Run an attempt that must be refused for one of the reasons and under the article, in both languages."""
    with story.refused() as caught:
        attempt()
    refusal: DomainError | None = caught[0] if caught else None
    if refusal is None:
        story.check(title, passed=False, shown="未被拒绝 it went through")
        return
    article_zh, article_en = cited_articles(refusal)
    story.note(f"✋ {refusal.symbol} ({refusal.reason.number})")
    story.note(f"   {refusal.sentence('zh')}（{article_zh}）")
    story.note(f"   {refusal.sentence('en')} ({article_en})")
    story.check(
        title,
        refusal.symbol in symbols and article in article_en and bool(article_zh and refusal.sentence("zh")),
        f"{refusal.symbol}: {article_en}",
    )


def _submit_in_shenzhen(
    story: Story, plant: Plant, step: str, start: date | None = None
) -> registers_pb2.SubmitProjectResponse:
    project = project_of(
        plant,
        project_id=f"DEMO-SZ-{step}-{story.cast.run:06d}",
        account_id=story.found.small_enterprise,
        methodology_id=METHODOLOGY_SHENZHEN,
    )
    if start is not None:
        project.crediting_period.start_date.CopyFrom(to_date(start))
        project.crediting_period.end_date.CopyFrom(to_date(MONTH_END))
    project.documents.extend(shenzhen_documents())
    return story.operator(SHENZHEN, "sz.sme").registers.SubmitProject(
        registers_pb2.SubmitProjectRequest(request_id=story.cast.request_id(step), project=project)
    )


def _applied_under_ccer(story: Story) -> None:
    plant = story.cast.applied_elsewhere
    _expect(
        story,
        f"已申报 CCER 的项目 already applied for under CCER: {plant.name}",
        ("DUPLICATE_PROGRAMME_APPLIED",),
        "Art. 22",
        lambda: _submit_in_shenzhen(story, plant, "ccer"),
    )


def _certificates_sold(story: Story) -> None:
    plant = story.cast.certificates_sold
    owner = open_account(
        story,
        story.operator(SHANGHAI, "sh.centre"),
        plant.owner,
        accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        plant.uscc,
        "certificates-owner",
    )
    project = project_of(
        plant,
        project_id=f"DEMO-SH-SOLD-{story.cast.run:06d}",
        account_id=owner,
        methodology_id=METHODOLOGY_SHANGHAI,
    )
    _expect(
        story,
        f"绿证已售 certificates were sold: {plant.name}",
        ("GREEN_POWER_PARTICIPATION", "CERTIFICATE_SOLD"),
        "Art. 14",
        lambda: story.operator(SHANGHAI, "sh.project_applicant").registers.SubmitProject(
            registers_pb2.SubmitProjectRequest(request_id=story.cast.request_id("sold"), project=project)
        ),
    )


def _to_yunnan(story: Story) -> None:
    department = story.operator(YUNNAN, "yn.epd")
    accounts = [
        open_account(
            story,
            department,
            f"滇池演示公司 {number}-{story.cast.run:03d}（虚构 invented）",
            accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
            invented_uscc(story.cast.run, 20 + number),
            f"yunnan-{number}",
        )
        for number in (1, 2)
    ]
    address = department.accounts.CreateReceivingAddress(
        accounts_pb2.CreateReceivingAddressRequest(
            request_id=story.cast.request_id("yunnan-address"), account_id=accounts[0]
        )
    ).receiving_address
    _expect(
        story,
        "无互认协议划转至云南 a transfer to Yunnan without an agreement",
        ("RECOGNITION_NOT_IN_FORCE",),
        "deny by default",
        lambda: story.holder(SHANGHAI, "seller").transfers.CreateTransfer(
            ledger_pb2.CreateTransferRequest(
                request_id=story.cast.request_id("to-yunnan"),
                from_account_id=story.found.seller,
                destination_region_code=YUNNAN.code,
                receiving_address=address,
                units=ledger_pb2.UnitSelection(series_id=story.found.series_id, quantity_kg=ASKED_KG),
                wait_ms=10_000,
            )
        ),
    )
    _expect(
        story,
        "云南境内交易 a trade at the Yunnan node",
        ("NO_TRADING_AT_THIS_NODE",),
        "Art. 4 para. 2",
        lambda: department.ledger.TransferUnits(
            ledger_pb2.TransferUnitsRequest(
                request_id=story.cast.request_id("yunnan-trade"),
                from_account_id=accounts[0],
                to_account_id=accounts[1],
                units=ledger_pb2.UnitSelection(quantity_kg=ASKED_KG),
                settlement_reference="虚构成交 invented settlement",
            )
        ),
    )


def _same_month(story: Story) -> None:
    plant = story.cast.rooftop
    _expect(
        story,
        f"沪深主张同一计量月 one metered month claimed by Shanghai and Shenzhen: {MONTH_START:%Y-%m}",
        ("CLAIM_OVERLAP",),
        "claimed once",
        lambda: _submit_in_shenzhen(story, plant, "month", MONTH_START),
    )
