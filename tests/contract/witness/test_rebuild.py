"""A bridge rebuilt from its witnesses' mirrors alone (PROTOCOL sections 6 and 7, I6), on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, log_pb2, mirror_pb2, orders_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.provision import sign_key_record
from tanqiao.signing.suites import SuiteId, suite_of
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.witnessing.mirror_file import LENGTH_BYTES, MIRROR_FORMAT
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.rebuild import rebuild_from_mirrors
from tests.contract.bridge.approvers import (
    SHANGHAI_AUTHORITY,
    SHENZHEN_AUTHORITY,
    block_freeze,
    both,
    correction,
    signed,
    stub_of,
    submit_freeze,
)
from tests.contract.bridge.case_office import BLOCK, contest, decide, resolve
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    run_bridge,
)
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.harness import WitnessMaker, trade
from tests.contract.witness.rebuilt import Mirroring, rebuild, root_keys, rows_of
from tests.contract.witness.test_location_roots import write_root

CONTESTED = "310000:instalment:contested"


def live(running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion) -> None:
    """Let a leaf of nearly every kind be written."""
    trade(running, shanghai)
    shenzhen.answers = lambda _prepare: "ACCOUNT_CLOSED"
    ids = shanghai.offer_locks([shanghai.lock(300, 310), shanghai.lock(310, 320)])
    shanghai.wait(lambda: all(one in shanghai.decisions for one in ids))
    shenzhen.answers = lambda _prepare: "ready"
    used = [shanghai.use(400, 410), shanghai.use(405, 420)]
    shanghai.offer(used)
    shanghai.wait(lambda: all(one.header.transfer_id in shanghai.decisions for one in used))
    submit_freeze(running, block_freeze(500, 520))
    submit_freeze(running, block_freeze(500, 505, unfreeze=True))
    order = correction(600, 610)
    approvers = (*both(SHANGHAI_AUTHORITY), *both(SHENZHEN_AUTHORITY))
    envelope = signed(running.network, order, SHANGHAI_AUTHORITY, approvers)
    request = orders_pb2.SubmitCorrectionRequest(request_id="correction-1", correction=envelope)
    stub_of(running).SubmitCorrection(request, timeout=WAIT_SECONDS, wait_for_ready=True)
    declare(running, SHANGHAI, claim_of(CONTESTED, filing_code="99310000000000777"))
    resolve(running, contest(running, CONTESTED), BLOCK)
    decide(running, ("gec_filing_code", "99310000000000777"), ("cdm", "4321"))
    announce_a_key(running)


def announce_a_key(running: Running) -> None:
    """Record another message key of Yunnan."""
    suite = suite_of(SuiteId.ED25519)
    public = suite.public_key_of(suite.generate()) or b""
    entry = KeyEntry(YUNNAN, KeyRole.MESSAGE, SuiteId.ED25519, public, 2, 100_000)
    record = sign_key_record(
        running.network.network_id, running.network.network.root("authority/530000"), entry
    )
    stub = directory_pb2_grpc.DirectoryServiceStub(running.channel(YUNNAN))
    request = directory_pb2.SubmitKeyRecordRequest(request_id="key-yunnan-2", record=record)
    stub.SubmitKeyRecord(request, timeout=WAIT_SECONDS, wait_for_ready=True)


def test_every_table_that_leaves_give_comes_back_bit_for_bit(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    mirroring: Mirroring,
    database_maker: DatabaseMaker,
    database_kind: str,
) -> None:
    mirroring.follow()  # they announce the kinds of leaf that they read
    live(running, shanghai, shenzhen)
    mirroring.follow()
    assert write_root(running) is not None
    ids = shanghai.offer_locks([shanghai.lock(at, at + 7) for at in range(700, 900, 10)])
    shanghai.wait(lambda: all(one in shanghai.decisions for one in ids))
    assert write_root(running) is not None
    size = mirroring.follow(SHANGHAI, SHENZHEN)
    mirrors = [mirroring.file(party) for party in (YUNNAN, SHANGHAI, SHENZHEN)]
    before = rows_of(running.bridge.database, size)
    made = database_maker.make(database_kind, _migrated, "bridge")
    settings = replace(running.bridge.settings, database_url=made.url, owner_database_url=made.owner_url)
    rebuilt = rebuild(running.network, settings, *mirrors)
    assert (rebuilt.size, rebuilt.refused, rebuilt.begun.continues_from) == (size, (), size)
    assert rebuilt.parties[-1] == YUNNAN, "the shortest is the last that is asked"
    with pytest.raises(DomainError) as refused:
        rebuild(running.network, settings, *mirrors)
    assert refused.value.symbol == "ALREADY_EXISTS"
    shanghai.disconnect()
    shenzhen.disconnect()
    again = run_bridge(running.network, made.url, made.owner_url)
    try:
        after = rows_of(again.bridge.database, size)
        for name, rows in before.items():
            assert after[name] == rows, name
        report = check_database(again.bridge.database)
        assert report.clean, report.as_text()
        assert again.bridge.context.recovery.missing == {SHANGHAI, SHENZHEN, YUNNAN}
        witnesses.running = again  # the same witnesses go on with the rebuilt log
        assert mirroring.follow() == size + 1
    finally:
        again.bridge.stop()
        database_maker.drop(made)


# -- mirrors that cannot be used ----------------------------------------------------------------------------


def parts(path: Path) -> list[bytes]:
    """Take a mirror file apart."""
    data, found = path.read_bytes()[len(MIRROR_FORMAT) :], []
    while data:
        end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
        found.append(data[LENGTH_BYTES:end])
        data = data[end:]
    return found


def put(path: Path, made: list[bytes]) -> Path:
    """Write a mirror file of parts."""
    framed = (len(part).to_bytes(LENGTH_BYTES, "big") + part for part in made)
    path.write_bytes(MIRROR_FORMAT + b"".join(framed))
    return path


def changed(path: Path, index: int, change: Callable[[log_pb2.LogLeaf], object]) -> Path:
    """Give a copy of a mirror in which one leaf is another."""
    made = parts(path)
    leaf = log_pb2.LogLeaf.FromString(made[1 + index])
    change(leaf)
    made[1 + index] = leaf.SerializeToString()
    return put(path.with_suffix(f".changed-{index}"), made)


def cut(path: Path, size: int) -> Path:
    """Give a copy that says it has fewer leaves, and has them."""
    made = parts(path)
    head = mirror_pb2.MirrorHead.FromString(made[0])
    head.size = size
    return put(path.with_suffix(f".cut-{size}"), [head.SerializeToString(), *made[1 : 1 + size]])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_bad_mirrors_are_refused_or_the_next_one_is_used(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    mirroring: Mirroring,
    database_maker: DatabaseMaker,
    tmp_path: Path,
) -> None:
    trade(running, shanghai)
    size = mirroring.follow()
    good, second, third = (mirroring.file(party) for party in (SHANGHAI, SHENZHEN, YUNNAN))
    made = database_maker.make("sqlite", _migrated, "bridge")
    settings = replace(running.bridge.settings, database_url=made.url, owner_database_url=made.owner_url)

    def refusal(*mirrors: Path) -> DomainError:
        with pytest.raises(DomainError) as caught:
            rebuild(running.network, settings, *mirrors)
        assert caught.value.sentence("zh")
        assert caught.value.sentence("en")
        return caught.value

    last = size - 1
    # Too few: whatever a quorum cosigned is in two of three.
    assert refusal(good).symbol == "MIRRORS_MISSING"
    assert refusal(good, good).metadata["missing"].startswith(SHENZHEN)
    # A file that is none, is cut off, or whose leaves are not what was signed, does not count.
    broken = tmp_path / "broken.mirror"
    broken.write_bytes(good.read_bytes()[:-9])
    foreign = tmp_path / "foreign.mirror"
    foreign.write_bytes(b"{}")
    other_leaf = changed(second, last, lambda leaf: setattr(leaf, "leaf", leaf.leaf[:-1] + b"\0"))
    for bad in (broken, foreign, other_leaf, cut(second, size - 5), tmp_path / "not there"):
        assert refusal(good, bad).symbol == "MIRRORS_MISSING", bad
    # A record that no mirror has sound is named; one other mirror with it is enough.
    unsealed = [changed(one, last, lambda leaf: leaf.ClearField("sealed_record")) for one in (good, second)]
    missing = refusal(*unsealed)
    assert (missing.symbol, missing.metadata["index"]) == ("MIRROR_RECORD_UNSOUND", str(last))
    damaged = changed(
        good, last, lambda leaf: setattr(leaf, "sealed_record", leaf.sealed_record[:-1] + b"\0")
    )
    moved = changed(second, last, lambda leaf: setattr(leaf, "sealed_record", parts(second)[5]))
    assert refusal(damaged, moved).symbol == "MIRROR_RECORD_UNSOUND"
    silent = [changed(one, last, lambda leaf: leaf.ClearField("envelopes")) for one in (good, second)]
    assert refusal(*silent).symbol == "MIRROR_RECORD_UNSOUND"
    forged = changed(good, last, forge)
    assert refusal(forged, silent[1]).symbol == "MIRROR_RECORD_UNSOUND"
    # Another recovery key opens nothing.
    keys = root_keys(running.network)
    with pytest.raises(DomainError) as caught:
        rebuild_from_mirrors(settings, [good, second], replace(keys, recovery_key=keys.root / "root-1.key"))
    assert caught.value.symbol == "KEY_FILE_INVALID"
    # Nothing was written by all that; each bad file beside sound ones is left out, or mended leaf by leaf.
    rebuilt = rebuild(running.network, settings, broken, forged, silent[1], third)
    assert rebuilt.size == size
    assert [one.partition(":")[0] for one in rebuilt.refused] == ["MIRROR_INVALID"]
    database_maker.drop(made)


def spoil(leaf: log_pb2.LogLeaf) -> None:
    """Change what is sealed."""
    leaf.sealed_record = leaf.sealed_record[:-1] + b"\0"


def forge(leaf: log_pb2.LogLeaf) -> None:
    """Give every message beside a leaf another signature."""
    for envelope in leaf.envelopes:
        envelope.signatures[0].signature = bytes(64)
