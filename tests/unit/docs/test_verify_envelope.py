"""The example that verifies a signed message stands alone, and agrees with the product on real batches."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.signing.batch import batch_hashes, item_envelope
from tanqiao.signing.directory import KeyRole
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest, lock_assertion, make_network
from tests.unit.layout.modules import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "verify_envelope.py"
LINES_MAX = 80
SIZES = (1, 2, 3, 5, 8, 13)
TIMEOUT_SECONDS = 60


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return make_network(tmp_path_factory.mktemp("network") / "home")


def key_of(network: NetworkOfTest, party: str) -> bytes:
    (entry,) = network.directory.owned_by(party, KeyRole.MESSAGE)
    return entry.public_key


def as_tools_print_it(message: Message) -> dict[str, Any]:
    """JSON of protobuf, as `buf curl` and every other tool prints it: fields that are zero are left out."""
    return json_format.MessageToDict(message)


def run(sent: dict[str, Any], key: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "envelope.json"
    path.write_text(json.dumps(sent), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", str(EXAMPLE), str(path), base64.b64encode(key).decode()],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def test_the_example_is_short_and_imports_the_standard_library_and_cryptography_alone() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names - sys.stdlib_module_names == {"cryptography"}


@pytest.mark.parametrize("size", SIZES)
def test_a_batch_and_each_of_its_items_alone_are_verified(
    network: NetworkOfTest, tmp_path: Path, size: int
) -> None:
    batch = network.batch([lock_assertion(number) for number in range(size)], SHANGHAI)
    hashes = batch_hashes(batch)
    whole = run(as_tools_print_it(batch), key_of(network, SHANGHAI), tmp_path)
    assert whole.stdout.split() == [word for one in hashes for word in ("verified", one.hex())], whole.stderr
    for index in {0, size // 2, size - 1}:
        item = item_envelope(batch, index)
        alone = run(as_tools_print_it(item), key_of(network, SHANGHAI), tmp_path)
        assert (alone.returncode, alone.stdout) == (0, f"verified {hashes[index].hex()}\n"), alone.stderr


def test_a_single_message_is_verified(network: NetworkOfTest, tmp_path: Path) -> None:
    answer = run(
        as_tools_print_it(network.envelope(lock_assertion(), SHANGHAI)), key_of(network, SHANGHAI), tmp_path
    )
    assert answer.returncode == 0, answer.stderr


def changed_payload(sent: dict[str, Any]) -> None:
    payload = bytearray(base64.b64decode(sent["payload"]))
    payload[-1] ^= 1
    sent["payload"] = base64.b64encode(payload).decode()


def other_type(sent: dict[str, Any]) -> None:
    sent["payloadType"] = "application/vnd.tanqiao.use.v1+protobuf"


def neighbours_index(sent: dict[str, Any]) -> None:
    sent["batchProof"]["index"] = 2


def other_size(sent: dict[str, Any]) -> None:
    sent["batchProof"]["size"] = 6


def shorter_path(sent: dict[str, Any]) -> None:
    sent["batchProof"]["path"].pop()


def longer_path(sent: dict[str, Any]) -> None:
    sent["batchProof"]["path"].append(base64.b64encode(bytes(32)).decode())


def negative_index(sent: dict[str, Any]) -> None:
    sent["batchProof"]["index"] = -1


def negative_size(sent: dict[str, Any]) -> None:
    sent["batchProof"]["size"] = -8


def without_proof(sent: dict[str, Any]) -> None:
    del sent["batchProof"]


def without_signature(sent: dict[str, Any]) -> None:
    del sent["signatures"][0]["signature"]


@pytest.mark.parametrize(
    "spoil",
    [
        changed_payload,
        other_type,
        neighbours_index,
        other_size,
        shorter_path,
        longer_path,
        negative_index,
        negative_size,
        without_proof,
        without_signature,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_what_was_changed_is_not_verified(
    network: NetworkOfTest, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    batch = network.batch([lock_assertion(number) for number in range(5)], SHANGHAI)
    sent = as_tools_print_it(item_envelope(batch, 1))
    key = key_of(network, SHANGHAI)
    assert run(sent, key, tmp_path).returncode == 0
    spoil(sent)
    answer = run(sent, key, tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("not verified: ")
    assert answer.stdout == ""


def test_the_key_of_another_party_verifies_nothing(network: NetworkOfTest, tmp_path: Path) -> None:
    sent = as_tools_print_it(network.envelope(lock_assertion(), SHANGHAI))
    answer = run(sent, key_of(network, SHENZHEN), tmp_path)
    assert (answer.returncode, answer.stderr) == (1, "not verified: ValueError another key signed\n")


def test_the_suite_byte_of_the_example_is_that_of_the_wire() -> None:
    assert f'SUITE_ED25519 = "application/vnd.tanqiao.batch.v1", b"\\x{messages_pb2.SUITE_ED25519:02x}"' in (
        EXAMPLE.read_text(encoding="utf-8")
    )
