"""What a region writes in pieces is what protobuf makes of the same fields, or reads as the same message."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import block_messages, date_message
from tanqiao.tlog.leaf import make_leaf
from tanqiao_region.application import journal
from tanqiao_region.application.forms import final_payload, lock_payload, ready_payload
from tanqiao_region.application.own_log import leaf_of
from tanqiao_region.domain.rules.verdicts import PackIdentity
from tanqiao_region.storage.journal import JournalRow

SHANGHAI, SHENZHEN = "region/310000", "region/440300"
KEY = TransferKey(SHENZHEN, b"t" * 16)
MESSAGE_ID = b"m" * 16
PREPARE_HASH, LOCK_HASH = b"p" * 32, b"l" * 32
DIGEST = "ab" * 32
BLOCKS = (UnitBlock("310000-CI-2026-1", 0, 1), UnitBlock("310000-CI-2026-2", 127, 2**40))
CONTEXT: Any = SimpleNamespace(
    network_id="test-forms",
    party=SHANGHAI,
    signer=SimpleNamespace(owner=SHANGHAI, key_epoch=3),
    random_bytes=lambda count: MESSAGE_ID[:count],
)


def header(source: str, prev_hash: bytes = b"", rules_digest: bytes = b"") -> envelope_pb2.Header:
    return envelope_pb2.Header(
        network_id="test-forms",
        sender=SHANGHAI,
        audience=["bridge"],
        message_id=MESSAGE_ID,
        source=source,
        transfer_id=KEY.transfer_id,
        prev_hash=prev_hash,
        rules_digest=rules_digest,
        key_epoch=3,
    )


@pytest.mark.parametrize("purpose", ["", "纳入 carbon inclusion"])
@pytest.mark.parametrize("blocks", [BLOCKS[:1], BLOCKS])
def test_a_lock(purpose: str, blocks: tuple[UnitBlock, ...]) -> None:
    made = lock_payload(
        CONTEXT,
        (MESSAGE_ID, KEY.transfer_id),
        blocks,
        SHENZHEN,
        (b"a" * 32, b"o" * 32),
        purpose=purpose,
        digest=DIGEST,
    )
    expected = messages_pb2.LockAssertion(
        header=header(SHANGHAI, rules_digest=bytes.fromhex(DIGEST)),
        blocks=block_messages(blocks),
        destination=SHENZHEN,
        receiving_address_commitment=b"a" * 32,
        owner_commitment=b"o" * 32,
        purpose=purpose,
        quantity_kg=sum(block.quantity_kg for block in blocks),
    )
    assert made == expected.SerializeToString()


def test_a_ready() -> None:
    made = ready_payload(CONTEXT, KEY, PREPARE_HASH, LOCK_HASH, legal_date="2026-03-02", digest=DIGEST)
    expected = messages_pb2.Ready(
        header=header(SHENZHEN, PREPARE_HASH, bytes.fromhex(DIGEST)),
        lock_hash=LOCK_HASH,
        legal_date=date_message("2026-03-02"),
    )
    assert made == expected.SerializeToString()


@pytest.mark.parametrize("index", [1, 128, 2**40])
@pytest.mark.parametrize("message_class", [messages_pb2.SourceFinal, messages_pb2.DestFinal])
def test_receipts(message_class: Any, index: int) -> None:
    made = final_payload(CONTEXT, message_class, KEY, LOCK_HASH, 2, index)
    expected = message_class(
        header=header(SHENZHEN, LOCK_HASH), decision_hash=LOCK_HASH, state=2, journal_index=index
    )
    assert made == expected.SerializeToString()


APPLIED = journal.Applied(PackIdentity("sh_draft", "1", DIGEST), ("SH-1", "SH-2"))


@pytest.mark.parametrize("applied", [None, APPLIED])
@pytest.mark.parametrize("message_hash", [b"", LOCK_HASH])
def test_an_entry_of_the_journal(applied: journal.Applied | None, message_hash: bytes) -> None:
    buffer = journal.JournalBuffer(6, 1_772_413_200, "2026-03-02")
    effects = (
        journal.Effect("ASELLER", removed=BLOCKS),
        journal.Effect("A买方", added=BLOCKS[:1]),
        journal.Effect("", BLOCKS[1:], BLOCKS[:1]),
    )
    buffer.append(
        journal.UNITS_LOCKED,
        "subject",
        effects,
        applied=applied,
        message_hash=message_hash,
        details={"reasons": "说明", "empty": ""},
        shared={"destination": SHENZHEN},
    )
    entry = journal_pb2.JournalEntry.FromString(buffer.rows[0].entry)
    expected = journal_pb2.JournalEntry(
        kind=journal.UNITS_LOCKED,
        subject_id="subject",
        message_hash=message_hash,
        legal_date=date_message("2026-03-02"),
        details={"reasons": "说明", "empty": "", "destination": SHENZHEN},
        effects=[
            journal_pb2.AccountEffect(
                account_id=one.account_id,
                added=block_messages(one.added),
                removed=block_messages(one.removed),
            )
            for one in effects
        ],
    )
    expected.record_time.seconds = 1_772_413_200
    if applied is not None:
        expected.rule_pack_id, expected.rule_pack_version = "sh_draft", "1"
        expected.rule_pack_digest = bytes.fromhex(DIGEST)
        expected.rule_ids.extend(applied.rule_ids)
    assert entry == expected
    assert sorted(buffer.accounts) == sorted((one.account_id, 7) for one in effects)


@pytest.mark.parametrize("message_hash", [b"", LOCK_HASH])
def test_the_leaf_of_an_entry(message_hash: bytes) -> None:
    entry = journal_pb2.JournalEntry(message_hash=message_hash).SerializeToString()
    row = JournalRow(300, 11, 0, "2026-03-02", "subject", entry)
    expected = make_leaf(
        "journal",
        message_hashes=[message_hash] if message_hash else [],
        public={
            "entry": hashlib.sha256(entry + b"salt").digest(),
            "index": (300).to_bytes(8, "big"),
            "kind": b"11",
            "legal_date": b"2026-03-02",
        },
    )
    assert leaf_of(row, b"salt") == expected.encode()
