"""Every bad file is refused with its reason, every good one accepted, and by a second verifier too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tanqiao.tlog.errors import REASONS, TlogError
from tanqiao.tlog.policy import parse_policy
from tanqiao.tlog.reading import audit_log
from tests.golden import make_bad_files
from tests.golden.museum.opening import (
    BAD,
    CATALOGUE,
    CONTEXT,
    GOLDEN,
    GOOD,
    GOOD_LEAF,
    ROOT,
    SIZE,
    MuseumLog,
    open_exhibit,
    open_file,
)
from tests.independent import verify_proof as independent
from tests.independent.verify_file import verify_file

FOLDERS = ("note", "checkpoint", "proof", "evidence", "file")
GOOD_FILES = [
    path.relative_to(GOOD).as_posix() for kind in FOLDERS for path in sorted((GOOD / kind).iterdir())
]
LEAF_OF_ONE = "the-only-leaf"
SCRIPT = Path(independent.__file__)


def leaf_for(path: str) -> bytes:
    if LEAF_OF_ONE in path:
        return independent.entries((GOOD / "log/tile/entries/000").read_bytes(), 256)[0]
    return GOOD_LEAF


def open_independently(kind: str, data: bytes, *, leaf: bytes = GOOD_LEAF, tile: str = "tile/0/000") -> None:
    policy = independent.Policy((GOOD / "federation.policy").read_bytes())
    if kind == "note":
        independent.verify_note(data, independent.Key(CONTEXT["log_key"].encode()))
    elif kind == "checkpoint":
        independent.verify_checkpoint(data, policy)
    elif kind == "proof":
        independent.verify_proof(data, leaf, policy)
    elif kind == "policy":
        independent.Policy(data)
    elif kind == "tile":
        served = {tile: data}
        independent.verify_log(
            SIZE, ROOT, lambda path: served[path] if path in served else (GOOD / "log" / path).read_bytes()
        )
    elif kind == "evidence":
        independent.verify_evidence(data, policy)
    elif kind == "file":
        verify_file(data, policy)
    else:
        assert kind == "leaf"
        independent.verify_leaf(data)


@pytest.mark.parametrize("row", CATALOGUE, ids=[row["file"] for row in CATALOGUE])
def test_every_bad_file_is_refused_with_its_reason(row: dict[str, str]) -> None:
    with pytest.raises(TlogError) as caught:
        open_exhibit(row)
    assert caught.value.reason == row["reason"]


@pytest.mark.parametrize("row", CATALOGUE, ids=[row["file"] for row in CATALOGUE])
def test_the_second_verifier_refuses_every_bad_file(row: dict[str, str]) -> None:
    leaf = (BAD / row["leaf"]).read_bytes() if "leaf" in row else GOOD_LEAF
    with pytest.raises(independent.Refused):
        open_independently(
            row["kind"], (BAD / row["file"]).read_bytes(), leaf=leaf, tile=row.get("tile", "tile/0/000")
        )


@pytest.mark.parametrize("path", GOOD_FILES)
def test_both_verifiers_accept_every_good_file(path: str) -> None:
    kind, data = path.split("/", maxsplit=1)[0], (GOOD / path).read_bytes()
    open_file(kind, data, leaf=leaf_for(path))
    open_independently(kind, data, leaf=leaf_for(path))


def test_both_verifiers_accept_the_good_policies_leaf_and_log() -> None:
    for name in ("federation.policy", "plain.policy"):
        open_file("policy", (GOOD / name).read_bytes())
        open_independently("policy", (GOOD / name).read_bytes())
    for check in (open_file, open_independently):
        check("leaf", GOOD_LEAF)
        check("tile", (GOOD / "log/tile/0/000").read_bytes())


def test_both_verifiers_read_the_same_out_of_a_policy() -> None:
    ours = parse_policy((GOOD / "federation.policy").read_bytes())
    theirs = independent.Policy((GOOD / "federation.policy").read_bytes())
    assert [log.key.encode() for log in ours.logs] == [
        f"{key.name.decode()}+{key.id.hex()}+" + log.key.encode().split("+", 2)[2]
        for key, log in zip(theirs.logs, ours.logs, strict=True)
    ]
    for names in ([], ["w1"], ["w1", "w3"], ["w1", "w2", "w3"], ["other", "w1"]):
        assert ours.is_quorum(names) == theirs.reached({name.encode() for name in names})


def test_a_partial_tile_that_has_gone_is_read_from_the_full_one() -> None:
    gone = "tile/0/001.p/44"
    full = (GOOD / "log" / gone).read_bytes().ljust(8192, b"\x07")
    assert audit_log(SIZE, ROOT, MuseumLog({"tile/0/001": full}, {gone})).size == SIZE
    with pytest.raises(TlogError) as caught:
        audit_log(SIZE, ROOT, MuseumLog({}, {gone}))
    assert caught.value.reason == "TILE_MISSING"


def test_the_museum_is_what_the_script_writes() -> None:
    written = make_bad_files.museum()
    found = {
        path.relative_to(GOLDEN).as_posix(): path.read_bytes()
        for folder in (GOOD, BAD)
        for path in folder.rglob("*")
        if path.is_file()
    }
    ours = {path: data for path, data in found.items() if path in written}
    assert ours == written
    assert {path for path in found if path.startswith("good/")} == {
        path for path in written if path.startswith("good/")
    }


def test_every_attack_has_a_name_of_its_own_and_a_known_reason() -> None:
    files = [row["file"] for row in CATALOGUE]
    assert len(set(files)) == len(files) > 150
    assert {row["reason"] for row in CATALOGUE} <= set(REASONS)
    assert all(row["attack"] for row in CATALOGUE)


def test_the_second_verifier_shares_no_code_with_the_first() -> None:
    source = SCRIPT.read_text()
    imported = {
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= {
        "__future__",
        "base64",
        "collections",
        "cryptography",
        "hashlib",
        "pathlib",
        "re",
        "sys",
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_second_verifier_can_be_run_by_hand(tmp_path: Path) -> None:
    policy, leaf = str(GOOD / "federation.policy"), str(GOOD / "leaf.bin")
    good = run("proof", policy, str(GOOD / "proof/plain.tlog-proof"), leaf)
    assert (good.returncode, "at index 123 of 300 leaves" in good.stdout) == (0, True)
    bad = run("proof", policy, str(BAD / "proof/path-reversed.tlog-proof"), leaf)
    assert (bad.returncode, bad.stdout.startswith("refused: ")) == (1, True)
    assert run("log", str(SIZE), ROOT.hex(), str(GOOD / "log")).returncode == 0
    assert run("policy", policy).returncode == 0
    assert run("checkpoint", policy, str(GOOD / "checkpoint/all-three.checkpoint")).returncode == 0
    assert run("note", CONTEXT["log_key"], str(GOOD / "note/one-signature.note")).returncode == 0
    assert run("anything").returncode == 2
