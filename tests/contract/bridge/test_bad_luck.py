"""A real bridge process with an expired certificate, a read-only database, a full or broken disk.

Each is told by name, nothing is half-written, and `fsck` is clean when the bridge is back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc, directory_pb2, directory_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.provision import provision_network
from tanqiao.testing.disk_faults import can_refuse_system_calls
from tanqiao.testing.network import BRIDGE, SHANGHAI, NetworkOfTest, standard_plan
from tests.contract.bridge.harness import START, WAIT_SECONDS, claim_of

pytestmark = pytest.mark.processes

EXIT_USAGE = 2


def write_config(network: NetworkOfTest, folder: Path, database: Path) -> Path:
    """Write the settings of a bridge of the network on a SQLite file."""
    node = network.network.node(BRIDGE)
    config = folder / "config.toml"
    values = {
        "network_id": network.network_id,
        "listen": "127.0.0.1:0",
        "database_url": f"sqlite:///{database}",
        "tls_directory": str(node / "tls"),
        "keys_directory": str(node / "keys"),
        "federation_file": str(node / "federation.json"),
        "test_clock_start": START,
    }
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return config


def run(config: Path, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tanqiao_bridge.main", command, "--config", str(config), *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def require_one_line(ended: subprocess.CompletedProcess[str], symbol: str) -> None:
    """Demand the exit code and the one line that a person can act on, in both languages."""
    assert ended.returncode == EXIT_USAGE, ended
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"{symbol}: ")
    assert " / " in line
    assert "Traceback" not in ended.stderr


def require_clean(config: Path) -> dict[str, int]:
    ended = run(config, "fsck", "--json")
    assert ended.returncode == 0, ended
    report = json.loads(ended.stdout)
    assert report["clean"], report
    checked: dict[str, int] = report["checked"]
    return checked


@dataclass
class Process:
    """A bridge process that is told to break."""

    network: NetworkOfTest
    process: subprocess.Popen[str]
    address: str
    envelopes: dict[int, envelope_pb2.Envelope] = field(default_factory=dict)

    @classmethod
    def start(cls, network: NetworkOfTest, config: Path) -> Process:
        script = Path(__file__).with_name("broken_bridge.py")
        process = subprocess.Popen(
            [sys.executable, str(script), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        assert process.stdout is not None
        return cls(network, process, process.stdout.readline().strip())

    def tell(self, word: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def declare(self, number: int) -> int:
        """Declare an invented claim, the same bytes each time; its log index, or the refusal."""
        claim = claim_of(f"310000:instalment:{number}", filing_code=f"9931000000002{number:04d}")
        envelope = self.envelopes.get(number)
        if envelope is None:
            envelope = self.network.envelope(claims_pb2.DeclareStatement(claim=claim), SHANGHAI)
            self.envelopes[number] = envelope
        with open_channel(self.address, self.network.network.tls(SHANGHAI)) as channel:
            try:
                response = claims_pb2_grpc.ClaimServiceStub(channel).DeclareClaim(
                    claims_pb2.DeclareClaimRequest(envelope=envelope), timeout=WAIT_SECONDS
                )
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None
        return int(response.receipt.log_index)

    def log_size(self) -> int:
        with open_channel(self.address, self.network.network.tls(SHANGHAI)) as channel:
            status = directory_pb2_grpc.DecisionServiceStub(channel).GetLogStatus(
                directory_pb2.GetLogStatusRequest(), timeout=WAIT_SECONDS
            )
        return int(status.log_size)


@pytest.fixture
def config(network: NetworkOfTest, tmp_path: Path) -> Path:
    return write_config(network, tmp_path, tmp_path / "bridge.db")


@pytest.fixture
def process(network: NetworkOfTest, config: Path) -> Iterator[Process]:
    started = Process.start(network, config)
    yield started
    started.end()


@pytest.mark.parametrize("fault", ["full", "writes", "forced", "limit"])
def test_a_disk_that_breaks_refuses_every_write_by_name_and_leaves_nothing_half_written(
    network: NetworkOfTest, config: Path, process: Process, fault: str
) -> None:
    if fault != "limit" and not can_refuse_system_calls():
        pytest.skip("system calls can be refused on Linux only")
    first = process.declare(1)
    size = process.log_size()
    assert size == first + 1
    assert process.tell(fault) == "done"
    for number in (2, 3):
        with pytest.raises(DomainError) as caught:
            process.declare(number)
        expected = "DISK_FULL" if fault in ("full", "limit") else "DATABASE_UNAVAILABLE"
        assert caught.value.symbol == expected
        assert caught.value.sentence("zh")
        assert caught.value.sentence("en")
    assert process.log_size() == size
    process.end()

    # After a forced write that failed nobody knows what is on the disk: the first refused claim is there
    # whole, or not at all, and the same bytes again get its one receipt. Otherwise it is not there.
    kept = require_clean(config)["leaves"]
    assert kept in ((size, size + 1) if fault == "forced" else (size,))
    again = Process.start(network, config)
    again.envelopes = process.envelopes
    try:
        assert again.log_size() == kept
        assert again.declare(2) == size
        assert again.declare(3) == size + 1
        assert again.tell("stop") == "stopped"
    finally:
        again.end()
    require_clean(config)


def test_a_bridge_that_got_room_again_goes_on_by_itself(process: Process, config: Path) -> None:
    first = process.declare(1)
    assert process.tell("limit") == "done"
    with pytest.raises(DomainError) as caught:
        process.declare(2)
    assert caught.value.symbol == "DISK_FULL"
    assert process.tell("room") == "done"
    assert process.declare(2) == first + 1
    assert process.tell("stop") == "stopped"
    require_clean(config)


def test_an_expired_certificate_is_one_line_that_says_so(tmp_path: Path) -> None:
    then = datetime.now(UTC) - timedelta(days=1_000)
    made = provision_network(tmp_path / "network", standard_plan(), now=then)
    network = NetworkOfTest(made, made.federation.directory())
    config = write_config(network, tmp_path, tmp_path / "bridge.db")
    require_one_line(run(config, "serve"), "CERTIFICATE_EXPIRED")
    require_clean(config)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="modes do not bind root")
def test_a_read_only_database_is_one_line_that_says_so(
    network: NetworkOfTest, config: Path, tmp_path: Path
) -> None:
    assert run(config, "migrate").returncode == 0
    database = tmp_path / "bridge.db"
    before = database.read_bytes()
    database.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        command = [sys.executable, "-m", "tanqiao_bridge.main", "serve", "--config", str(config)]
        if os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        require_one_line(ended, "DATABASE_READ_ONLY")
    finally:
        tmp_path.chmod(0o755)
        database.chmod(0o644)
    assert database.read_bytes() == before
    assert network.network_id
    require_clean(config)
