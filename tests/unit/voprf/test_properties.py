from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqiao.kernel import DomainError
from tanqiao.voprf import group
from tanqiao.voprf.functions import (
    INPUT_LENGTH_MAX,
    KeyPair,
    blind,
    derive_key_pair,
    evaluate,
    evaluate_input,
    finalize,
)
from tanqiao.voprf.proofs import prove, verify

SCALARS = st.integers(min_value=1, max_value=group.ORDER - 1).map(lambda value: value.to_bytes(32, "little"))
INPUTS = st.binary(max_size=80)
ONE = (1).to_bytes(32, "little")
KEY = KeyPair.of((7**80 % group.ORDER).to_bytes(32, "little"))
OTHER = KeyPair.of((5**90 % group.ORDER).to_bytes(32, "little"))
NOT_ELEMENTS = [
    pytest.param(b"", id="empty"),
    pytest.param(bytes(31), id="short"),
    pytest.param(group.multiply_base(ONE) + b"\x00", id="long"),
    pytest.param(bytes(32), id="identity"),
    # RFC 9496 appendix A.2: not canonical, negative, no square root.
    pytest.param(bytes.fromhex("00" + "ff" * 31), id="not-canonical"),
    pytest.param(bytes.fromhex("f3" + "ff" * 30 + "7f"), id="not-reduced"),
    pytest.param(bytes.fromhex("01" + "00" * 31), id="negative"),
    pytest.param(
        bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"), id="no-square"
    ),
]
NOT_SCALARS = [
    pytest.param(b"", id="empty"),
    pytest.param(bytes(32), id="zero"),
    pytest.param(group.ORDER.to_bytes(32, "little"), id="order"),
    pytest.param(b"\xff" * 32, id="not-reduced"),
    pytest.param(ONE + b"\x00", id="long"),
]


def refused(symbol: str, refusal: pytest.ExceptionInfo[DomainError]) -> None:
    assert refusal.value.symbol == symbol


@settings(max_examples=25)
@given(key=SCALARS, private_input=INPUTS, first=SCALARS, second=SCALARS)
def test_the_output_hangs_on_key_and_input_alone(
    key: bytes, private_input: bytes, first: bytes, second: bytes
) -> None:
    pair = KeyPair.of(key)
    outputs = {
        finalize(private_input, scalar, evaluate(pair, blind(private_input, scalar)))
        for scalar in (first, second)
    }
    assert outputs == {evaluate_input(pair, private_input)}


@settings(max_examples=25)
@given(st.lists(INPUTS, min_size=2, max_size=4, unique=True), SCALARS)
def test_inputs_and_keys_are_told_apart(inputs: list[bytes], key: bytes) -> None:
    pairs = (KeyPair.of(key), derive_key_pair(bytes(32), key))
    outputs = [evaluate_input(pair, one) for pair in pairs for one in inputs]
    assert len(set(outputs)) == len(outputs)


@settings(max_examples=15)
@given(st.lists(INPUTS, min_size=1, max_size=5), st.data())
def test_a_proof_holds_for_its_batch_and_for_nothing_else(inputs: list[bytes], data: st.DataObject) -> None:
    blinded = [blind(one, data.draw(SCALARS)) for one in inputs]
    evaluated = [evaluate(KEY, element) for element in blinded]
    proof = prove(KEY, blinded, evaluated, data.draw(SCALARS))
    verify(KEY.public_key, blinded, evaluated, proof)
    place = data.draw(st.integers(0, len(inputs) - 1))
    wrong = [*evaluated]
    wrong[place] = evaluate(OTHER, blinded[place])
    bit = data.draw(st.integers(0, len(proof) * 8 - 1))
    bent = bytearray(proof)
    bent[bit // 8] ^= 1 << bit % 8
    for public_key, first, second, shown in (
        (KEY.public_key, blinded, wrong, proof),
        (OTHER.public_key, blinded, evaluated, proof),
        (KEY.public_key, blinded, evaluated, bytes(bent)),
        (KEY.public_key, [*blinded, blinded[0]], [*evaluated, evaluated[0]], proof),
        (KEY.public_key, blinded, evaluated[:-1], proof),
        (KEY.public_key, blinded, evaluated, proof + b"\x00"),
        (KEY.public_key, blinded, evaluated, proof[:32] + b"\xff" * 32),
        (KEY.public_key, [], [], proof),
    ):
        with pytest.raises(DomainError) as refusal:
            verify(public_key, first, second, shown)
        refused("EVALUATION_PROOF_INVALID", refusal)


def test_a_proof_made_with_a_wrong_key_for_some_does_not_hold() -> None:
    blinded = [blind(bytes([place]), ONE) for place in range(3)]
    evaluated = [*(evaluate(KEY, element) for element in blinded[:2]), evaluate(OTHER, blinded[2])]
    proof = prove(KEY, blinded, evaluated, ONE)
    with pytest.raises(DomainError) as refusal:
        verify(KEY.public_key, blinded, evaluated, proof)
    refused("EVALUATION_PROOF_INVALID", refusal)


@pytest.mark.parametrize("element", NOT_ELEMENTS)
def test_what_is_no_element_is_refused_by_both_sides(element: bytes) -> None:
    good = blind(b"x", ONE)
    proof = prove(KEY, [good], [evaluate(KEY, good)], ONE)
    for attempt in (
        lambda: evaluate(KEY, element),
        lambda: finalize(b"x", ONE, element),
        lambda: verify(element, [good], [good], proof),
        lambda: verify(KEY.public_key, [element], [good], proof),
        lambda: verify(KEY.public_key, [good], [element], proof),
    ):
        with pytest.raises(DomainError) as refusal:
            attempt()
        refused("ELEMENT_INVALID", refusal)
        assert element.hex()[:16] not in str(refusal.value.metadata) or element == b""


@pytest.mark.parametrize("scalar", NOT_SCALARS)
def test_what_is_no_secret_scalar_is_refused_and_not_repeated(scalar: bytes) -> None:
    good = blind(b"x", ONE)
    for attempt in (
        lambda: KeyPair.of(scalar),
        lambda: blind(b"x", scalar),
        lambda: finalize(b"x", scalar, good),
        lambda: prove(KEY, [good], [evaluate(KEY, good)], scalar),
    ):
        with pytest.raises(DomainError) as refusal:
            attempt()
        refused("FIELD_INVALID", refusal)
        assert scalar.hex() not in str(refusal.value) or scalar == b""


def test_an_input_that_is_too_long_is_refused() -> None:
    assert blind(bytes(INPUT_LENGTH_MAX), ONE)
    with pytest.raises(DomainError) as refusal:
        blind(bytes(INPUT_LENGTH_MAX + 1), ONE)
    refused("FIELD_INVALID", refusal)


def test_random_scalars_are_valid_and_differ() -> None:
    drawn = {group.check_secret_scalar(group.random_scalar(), "blind") for _ in range(20)}
    assert len(drawn) == 20


def test_the_unpacked_library_is_not_left_behind(tmp_path: Path) -> None:
    program = "import tanqiao.voprf.group as group; print(group.multiply_base(group.random_scalar()).hex())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.strip()) == 64
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_takes_no_library_is_one_line_that_names_it() -> None:
    program = """
import resource
from tanqiao.kernel import DomainError
from tanqiao.voprf import group
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    group.scalar_of(bytes(64))
except DomainError as refusal:
    print(refusal.symbol, refusal.sentence("en"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SETTING_INVALID The setting TMPDIR is not valid: libsodium is unpacked")
    assert "File too large" in done.stdout
