"""`tanqiao freeze prepare` and `tanqiao approve`: what is shown, what is signed, and who may sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tanqiao.cli.local.home import Home
from tanqiao.cli.main import main
from tanqiao.cli.order_files import read_order, write_order
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.approvals import open_correction, open_freeze
from tanqiao.signing.provision import Network, provision_network
from tanqiao.testing.network import standard_plan

ADDRESS = "TQ-440300-00000000000000000E"
PREPARE = (
    "freeze",
    "prepare",
    "order.json",
    "--scope",
    "pair",
    "--authority",
    "shanghai",
    "--region",
    "shanghai",
    "--other-region",
    "shenzhen",
    "--reason",
    "虚构 invented",
    "--document",
    "沪环函〔2026〕1号",
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A home with the keys of every authority."""
    return provision_network(tmp_path_factory.mktemp("home"), standard_plan(), now=datetime.now(UTC))


@pytest.fixture
def run(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Home, "network_id", property(lambda _self: network.plan.network_id))

    def call(*arguments: str, **settings: Any) -> Any:
        return CliRunner().invoke(main, [*arguments, "--home", str(network.home)], **settings)

    return call


def approver(network: Network, code: str, number: int) -> str:
    return str(network.home / "authorities" / code / f"approver-{number}" / "approver-1.key")


def test_two_approvers_read_in_words_and_sign_one_after_the_other(run: Any, network: Network) -> None:
    assert run(*PREPARE).exit_code == 0
    shown = run("approve", "order.json")
    assert shown.exit_code == 0
    for said in (
        "冻结 Freeze",
        "region/310000 – region/440300",
        "沪环函〔2026〕1号",
        "0 / 2",
        "一律中止",
        "aborted",
    ):
        assert said in shown.output
    refused = run("approve", "order.json", "--key", approver(network, "310000", 1), input="n\n")
    assert refused.exit_code != 0
    assert not read_order(Path("order.json"))[0].signatures
    for number in (1, 2):
        signed = run("approve", "order.json", "--key", approver(network, "310000", number), input="y\n")
        assert signed.exit_code == 0, signed.output
    envelope, _ = read_order(Path("order.json"))
    opened = open_freeze(envelope, network.plan.network_id, network.federation.directory(), at_index=0)
    assert [one.holder for one in opened.signed_by] == ["approver-1", "approver-2"]


@pytest.mark.parametrize(
    ("keys", "symbol"),
    [
        ([("310000", 1), ("310000", 1)], "APPROVERS_MISSING"),
        ([("440300", 1)], "SENDER_MISMATCH"),
        ([("310000", 1), ("530000", 1)], "SENDER_MISMATCH"),
    ],
    ids=["twice the same key", "of another authority", "a second of another authority"],
)
def test_who_may_not_sign_is_told_so(
    run: Any, network: Network, keys: list[tuple[str, int]], symbol: str
) -> None:
    assert run(*PREPARE).exit_code == 0
    answers = [
        run("approve", "order.json", "--yes", "--json", "--key", approver(network, code, number))
        for code, number in keys
    ]
    assert json.loads(answers[-1].output)["error"]["reason"] == symbol
    assert len(read_order(Path("order.json"))[0].signatures) == len(keys) - 1


def test_a_key_that_others_can_read_signs_nothing(run: Any, network: Network) -> None:
    assert run(*PREPARE).exit_code == 0
    key = Path(approver(network, "310000", 2))
    key.chmod(0o644)
    try:
        answer = run("approve", "order.json", "--yes", "--json", "--key", str(key))
    finally:
        key.chmod(0o600)
    assert json.loads(answer.output)["error"]["reason"] == "KEY_FILE_PERMISSIONS"
    assert not read_order(Path("order.json"))[0].signatures


def test_four_approvers_sign_a_correction(run: Any, network: Network) -> None:
    done = run(
        "correction",
        "prepare",
        "c.json",
        "--block",
        "310000:SHCER:P:2026:1[0,10)",
        "--from-region",
        "shanghai",
        "--to-region",
        "shenzhen",
        "--address",
        ADDRESS,
        "--reason",
        "虚构",
        "--document",
        "会议纪要 7",
    )
    assert done.exit_code == 0, done.output
    assert "更正 Correction" in done.output
    for code, number in (("310000", 1), ("440300", 2), ("440300", 1), ("310000", 2)):
        assert run("approve", "c.json", "--yes", "--key", approver(network, code, number)).exit_code == 0
    envelope, _ = read_order(Path("c.json"))
    assert (
        open_correction(
            envelope, network.plan.network_id, network.federation.directory(), at_index=0
        ).message.document
        == "会议纪要 7"
    )


@pytest.mark.parametrize("content", ["", "{}", '{"format": "tanqiao-order-v1", "envelope": "!"}', "[1]"])
def test_what_is_no_order_is_refused(run: Any, content: str) -> None:
    Path("x.json").write_text(content, encoding="utf-8")
    answer = run("approve", "x.json", "--json")
    assert json.loads(answer.output)["error"]["reason"] == "MESSAGE_MALFORMED"


def test_bytes_that_cannot_be_put_into_words_are_not_shown_for_signing(run: Any) -> None:
    assert run(*PREPARE).exit_code == 0
    envelope, _ = read_order(Path("order.json"))
    envelope.payload += b"\xf8\x3f\x01"
    write_order(Path("order.json"), envelope)
    with pytest.raises(DomainError) as refused:
        read_order(Path("order.json"))
    assert refused.value.symbol == "UNKNOWN_FIELD"
