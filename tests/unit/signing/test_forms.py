"""Forms: filled, they are byte for byte what protobuf makes of the same fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import InvariantBroken
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_bytes, block_message
from tanqiao.signing.batch import item_envelope_bytes, item_envelopes
from tanqiao.signing.forms import (
    FIRST_HASH,
    MESSAGE_ID,
    PREV_HASH,
    SECOND_HASH,
    TRANSFER_ID,
    Form,
    Sender,
    bytes_field,
    number_field,
    place,
    varint,
)
from tanqiao.signing.merkle import tree_levels
from tanqiao.signing.pae import message_hashes
from tanqiao.testing.network import SHANGHAI, NetworkOfTest, lock_assertion

SERIAL_MAX = 2**62


def test_places_are_told_apart() -> None:
    marks = [MESSAGE_ID, TRANSFER_ID, PREV_HASH, FIRST_HASH, SECOND_HASH, place(1, 17), place(9, 32)]
    assert len(set(marks)) == len(marks)
    assert [len(mark) for mark in marks] == [16, 16, 32, 32, 32, 17, 32]


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.text(max_size=8))
def test_a_form_is_filled_as_protobuf_would_write_it(id_: bytes, digest: bytes, source: str) -> None:
    def header(transfer_id: bytes, prev_hash: bytes) -> envelope_pb2.Header:
        return envelope_pb2.Header(
            network_id="test-100%", source=source, transfer_id=transfer_id, prev_hash=prev_hash, key_epoch=300
        )

    form = Form.of(header(TRANSFER_ID, PREV_HASH), (TRANSFER_ID, PREV_HASH))
    assert form.fill(id_, digest) == header(id_, digest).SerializeToString()


@pytest.mark.parametrize(
    "places",
    [(FIRST_HASH, MESSAGE_ID), (MESSAGE_ID,), (MESSAGE_ID, FIRST_HASH, SECOND_HASH)],
    ids=["in another order", "one stands there twice", "one does not stand there"],
)
def test_a_form_whose_places_do_not_stand_in_it_once_and_in_order_is_none(places: tuple[bytes, ...]) -> None:
    sample = MESSAGE_ID + b"between" + FIRST_HASH
    if places == (MESSAGE_ID,):
        sample += MESSAGE_ID
    with pytest.raises(InvariantBroken):
        Form(sample, places)


def test_a_value_of_another_length_fits_no_form() -> None:
    form = Form(b"a" + MESSAGE_ID + b"b", (MESSAGE_ID,))
    with pytest.raises(InvariantBroken):
        form.fill(b"short")


@given(st.integers(min_value=1, max_value=2**63 - 1), st.binary(max_size=300))
def test_fields_are_written_as_protobuf_writes_them(number: int, data: bytes) -> None:
    header = envelope_pb2.Header(message_id=data, key_epoch=number)
    fields = number_field(envelope_pb2.Header.KEY_EPOCH_FIELD_NUMBER, number)
    if data:
        fields = bytes_field(envelope_pb2.Header.MESSAGE_ID_FIELD_NUMBER, data) + fields
    assert fields == header.SerializeToString()
    assert number_field(3, 0) == b""
    assert varint(0) == b"\x00"


@given(
    st.lists(st.integers(0, SERIAL_MAX), min_size=2, max_size=2, unique=True),
    st.text("0123456789-CI", min_size=1),
)
def test_a_block_is_written_as_protobuf_writes_it(serials: list[int], series_id: str) -> None:
    block = UnitBlock(series_id, min(serials), max(serials))
    assert block_bytes(block) == block_message(block).SerializeToString()
    assert values_pb2.UnitBlock.FromString(block_bytes(block)) == block_message(block)


@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_embedded_envelopes_are_those_that_are_given_out(net: NetworkOfTest, size: int) -> None:
    batch = net.batch([lock_assertion(number) for number in range(size)], SHANGHAI)
    levels = tree_levels(message_hashes(batch.payload_type, list(batch.payloads)))
    made = item_envelope_bytes(batch, range(size), levels)
    assert made == [envelope.SerializeToString() for envelope in item_envelopes(batch)]


def test_a_sender_changes_with_the_key_of_its_node() -> None:
    node: Any = SimpleNamespace(network_id="n", signer=SimpleNamespace(owner=SHANGHAI, key_epoch=1))
    first = Sender.of(node)
    node.signer = SimpleNamespace(owner=SHANGHAI, key_epoch=2)
    assert Sender.of(node) != first
    header = Sender.of(node).header(("bridge",), SHANGHAI, prev_hash=PREV_HASH)
    assert (header.sender, header.key_epoch, list(header.audience)) == (SHANGHAI, 2, ["bridge"])
    assert (header.message_id, header.transfer_id, header.prev_hash) == (MESSAGE_ID, TRANSFER_ID, PREV_HASH)
