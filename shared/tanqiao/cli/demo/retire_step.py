"""Step d: the buyer uses units for a named event."""

from __future__ import annotations

import hashlib

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.cli.demo.cast import RETIRED_KG
from tanqiao.cli.demo.story import Story
from tanqiao.cli.local.members import SHENZHEN
from tanqiao.cli.parse import blocks_text, date_text

WAIT_MS = 20_000
SHOWN_CHARACTERS = 24
SEALED = "公众所见为承诺值 the public sees a commitment"


def retire(story: Story) -> None:
    """Retire, print the record with serials and signatures, and read it back as the national reader."""
    story.begin("d", "消纳", "The buyer retires units for a named event")
    done = (
        story.holder(SHENZHEN, "buyer")
        .retirements.RetireUnits(
            ledger_pb2.RetireUnitsRequest(
                request_id=story.cast.request_id("retire"),
                account_id=story.found.buyer,
                units=ledger_pb2.UnitSelection(series_id=story.found.series_id, quantity_kg=RETIRED_KG),
                purpose="event_neutrality",
                purpose_text=story.cast.event,
                beneficiary=ledger_pb2.Beneficiary(name=story.cast.buyer),
                wait_ms=WAIT_MS,
            )
        )
        .retirement
    )
    record = (
        story.reader.region(SHENZHEN.code)
        .retirements.GetRetirement(ledger_pb2.GetRetirementRequest(retirement_id=done.retirement_id))
        .retirement
    )
    _show(story, record, done.beneficiary.name)
    story.require(
        "消纳完成 retired (read by the national reader)",
        record.state == ledger_pb2.USE_STATE_USED and record.quantity_kg == RETIRED_KG,
        f"{record.quantity_kg} kg, {record.article}",
    )
    decision = messages_pb2.Decision.FromString(record.decision.payload)
    story.check(
        "决定已签名且为 COMMIT the decision is signed and says COMMIT",
        decision.outcome == messages_pb2.OUTCOME_COMMIT and len(record.decision.signatures) == 1,
        f"日志序号 log index {decision.log_index}",
    )
    trace = story.reader.bridge.locations.TraceUnits(directory_pb2.TraceUnitsRequest(block=record.blocks[0]))
    story.check(
        "碳桥所见已用 the bridge has them as used",
        bool(trace.locations)
        and all(entry.state == directory_pb2.LOCATION_STATE_USED for entry in trace.locations),
    )


def _show(story: Story, record: ledger_pb2.Retirement, named: str) -> None:
    """Print the record as the reader has it; the holder alone, who was told by the node, can say for whom."""
    lines = [
        f"编号 number      {record.retirement_id}",
        f"用途 purpose     {record.purpose}: {record.purpose_text}",
        f"受益方 for       {record.beneficiary.name or f'{named} · {SEALED}'}",
        f"数量 quantity    {record.quantity_kg} kg CO2e",
        *(f"序列 serials     {line}" for line in blocks_text(list(record.blocks)).splitlines()),
        f"条款 article     {record.article}",
        f"规则 rule pack   {record.rule_pack_id} {record.rule_pack_version}",
        f"日期 dates       {date_text(record.retiring_date)} / {date_text(record.decision_date)}",
    ]
    for name, envelope in (("Use", record.use), ("Decision", record.decision)):
        for signature in envelope.signatures:
            digest = hashlib.sha256(envelope.payload).hexdigest()[:SHOWN_CHARACTERS]
            lines.append(f"签名 {name:<9} {signature.key_id.hex()} sha256(payload) {digest}…")
    lines.append("测试网络，不具法律效力 test network, of no legal effect")
    story.panel(lines, "消纳记录 Retirement record")
