"""Step c: units cross the border under a recognition agreement, and the trace shows every signed step."""

from __future__ import annotations

import time
from datetime import date

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2
from tanqiao.cli.demo.cast import BUYER_KG, invented_uscc
from tanqiao.cli.demo.registers import open_account
from tanqiao.cli.demo.story import Story
from tanqiao.cli.local.members import SHANGHAI, SHENZHEN
from tanqiao.cli.parse import blocks_text, make_period, period_text
from tanqiao.cli.verbs.bridge import message_name, submit_recognition

PURPOSES = ("event_neutrality", "operations_neutrality", "voluntary")
STEPS_OF_A_TRANSFER = ("lock-assertion", "ready", "decision")
BUYER_NUMBER = 9
WAIT_MS = 20_000


def transfer(story: Story) -> None:
    """Agree, send, and read back at the bridge and at the buyer's region."""
    story.begin("c", "跨区域划转", "A Shenzhen buyer receives part of the block through the bridge")
    _ensure_agreement(story)
    platform = story.operator(SHENZHEN, "sz.platform_operator")
    story.found.buyer = open_account(
        story,
        platform,
        story.cast.buyer,
        accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        invented_uscc(story.cast.run, BUYER_NUMBER),
        "buyer",
        holder=story.holder_party(SHENZHEN, "buyer"),
    )
    address = receiving_address(story)
    started = time.monotonic()
    moved = (
        story.holder(SHANGHAI, "seller")
        .transfers.CreateTransfer(
            ledger_pb2.CreateTransferRequest(
                request_id=story.cast.request_id("transfer"),
                from_account_id=story.found.seller,
                destination_region_code=SHENZHEN.code,
                receiving_address=address,
                units=ledger_pb2.UnitSelection(series_id=story.found.series_id, quantity_kg=BUYER_KG),
                wait_ms=WAIT_MS,
            )
        )
        .transfer
    )
    elapsed_ms = (time.monotonic() - started) * 1000
    story.require(
        "划转已决定 transfer decided: COMMIT",
        moved.state == ledger_pb2.TRANSFER_STATE_MOVED,
        f"{BUYER_KG} kg, 往返 round trip {elapsed_ms:.0f} ms"
        + "".join(f"; {reason.sentence_en}" for reason in moved.reasons),
    )
    _read_back(story, moved)


def receiving_address(story: Story) -> str:
    """Give a fresh receiving address of the buyer."""
    answer = story.holder(SHENZHEN, "buyer").accounts.CreateReceivingAddress(
        accounts_pb2.CreateReceivingAddressRequest(
            request_id=story.cast.request_id("address", time.monotonic_ns()), account_id=story.found.buyer
        )
    )
    return str(answer.receiving_address)


def _ensure_agreement(story: Story) -> None:
    known = _agreements(story)
    if not known:
        record = messages_pb2.RecognitionRecord(
            agreement_id=f"demo-shanghai-shenzhen-{story.cast.run:06d}",
            from_region=SHANGHAI.party,
            to_region=SHENZHEN.party,
            programmes=["SHCER"],
            unit_classes=["I"],
            purposes=PURPOSES,
            period=make_period(date(2026, 1, 1), date(2028, 1, 1)),
            document="演示互认协议（虚构 invented）",
        )
        submitted = submit_recognition(story.session, record)
        for region in (SHANGHAI, SHENZHEN):
            _wait_for_index(story, region.code, submitted.log_index)
        known = _agreements(story)
    story.require(
        "互认协议由双方根密钥签署并生效 agreement signed by both roots, in force",
        bool(known) and all(len(entry.envelope.signatures) == 2 for entry in known),  # noqa: PLR2004 - both regions
        f"{known[0].record.agreement_id}, {period_text(known[0].record.period)}" if known else "",
    )
    story.found.agreement_id = known[0].record.agreement_id


def _agreements(story: Story) -> list[directory_pb2.RecognitionEntry]:
    answer = story.reader.bridge.recognition.ListRecognitions(
        directory_pb2.ListRecognitionsRequest(from_region=SHANGHAI.party, to_region=SHENZHEN.party)
    )
    return list(answer.recognitions)


def _wait_for_index(story: Story, region_code: str, log_index: int) -> None:
    def applied() -> bool | None:
        status = story.reader.region(region_code).node.GetNodeStatus(journal_pb2.GetNodeStatusRequest())
        return True if status.applied_log_index >= log_index else None

    story.wait_until(f"{region_code}: 收到协议 has the agreement", applied, seconds_max=20)


def _read_back(story: Story, moved: ledger_pb2.Transfer) -> None:
    """Ask the bridge as the national reader, and the buyer's region as another office."""
    trace = story.reader.bridge.locations.TraceUnits(directory_pb2.TraceUnitsRequest(block=moved.blocks[0]))
    story.rows(
        ("序号", "步骤 step", "从 from → 到 to", "已签消息 signed messages", "签名 signatures"),
        [
            (
                step.log_index,
                step.kind,
                f"{step.from_region} → {step.to_region or '–'}",
                ", ".join(message_name(envelope.payload_type) for envelope in step.envelopes),
                sum(len(envelope.signatures) for envelope in step.envelopes),
            )
            for step in trace.steps
        ],
    )
    names = [message_name(envelope.payload_type) for step in trace.steps for envelope in step.envelopes]
    story.check(
        "轨迹含每一已签步骤 the trace has every signed step",
        [step.kind for step in trace.steps] == ["ISSUE", "TRANSFER"]
        and all(name in names for name in STEPS_OF_A_TRANSFER)
        and all(envelope.signatures for step in trace.steps for envelope in step.envelopes),
        blocks_text(list(moved.blocks)),
    )
    story.check(
        "碳桥所见在深圳 the bridge has them at Shenzhen",
        all(entry.region == SHENZHEN.party for entry in trace.locations) and bool(trace.locations),
    )

    def credited() -> int | None:
        balance = story.operator(SHENZHEN, "sz.bureau").accounts.GetBalance(
            accounts_pb2.GetBalanceRequest(account_id=story.found.buyer)
        )
        return int(balance.held_kg) or None

    held_kg = story.wait_until("深圳入账 credited", credited, seconds_max=20)
    story.check("买方持有 the buyer holds (read by the bureau)", held_kg == BUYER_KG, f"{held_kg} kg")
