"""The checks of the wire contract see what they are there for: drift, lint and breaking changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.layout.modules import ROOT

TINY = """\
syntax = "proto3";

package tanqiao.api.tiny.v1;

message Parcel {
  string parcel_id = 1;
  int64 quantity_kg = 2;
}
"""
TINY_PATH = Path("tanqiao/api/tiny/v1/tiny.proto")


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A contract of one message, released."""
    folder = tmp_path / "proto"
    (folder / TINY_PATH).parent.mkdir(parents=True)
    (folder / TINY_PATH).write_text(TINY, encoding="utf-8")
    shutil.copy(ROOT / "proto" / "buf.yaml", folder)
    written = script("check_protos.py", "--proto", folder, "--release", "--first")
    assert written.returncode == 0, written.stdout
    return folder


def change(folder: Path, edit: Callable[[str], str]) -> None:
    path = folder / TINY_PATH
    before = path.read_text(encoding="utf-8")
    after = edit(before)
    assert after != before, "the edit changed nothing"
    path.write_text(after, encoding="utf-8")


def test_an_unchanged_contract_passes(tiny: Path) -> None:
    answer = script("check_protos.py", "--proto", tiny)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_an_added_field_is_no_breaking_change(tiny: Path) -> None:
    change(tiny, lambda text: text.replace("= 2;\n", "= 2;\n  string note = 3;\n"))
    assert script("check_protos.py", "--proto", tiny).returncode == 0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(
            lambda text: text.replace("  int64 quantity_kg = 2;\n", ""),
            'field "2" with name "quantity_kg"',
            id="removed field",
        ),
        pytest.param(lambda text: text.replace("int64", "int32"), "changed type from", id="narrowed type"),
        pytest.param(
            lambda text: text.replace("= 2", "= 3"),
            'field "2" with name "quantity_kg"',
            id="renumbered field",
        ),
        pytest.param(
            lambda text: text.replace("Parcel", "Packet"),
            'message "Parcel" was deleted',
            id="renamed message",
        ),
    ],
)
def test_a_breaking_change_is_refused(tiny: Path, edit: Callable[[str], str], said: str) -> None:
    change(tiny, edit)
    answer = script("check_protos.py", "--proto", tiny)
    assert answer.returncode == 1
    assert "buf breaking" in answer.stdout
    assert said in answer.stdout


def test_a_release_does_not_hide_a_breaking_change(tiny: Path) -> None:
    change(tiny, lambda text: text.replace("  int64 quantity_kg = 2;\n", ""))
    image = (tiny / "released" / "v1.binpb").read_bytes()
    assert script("check_protos.py", "--proto", tiny, "--release").returncode == 1
    assert (tiny / "released" / "v1.binpb").read_bytes() == image


def test_a_missing_image_is_reported_and_not_passed_over(tiny: Path) -> None:
    (tiny / "released" / "v1.binpb").unlink()
    answer = script("check_protos.py", "--proto", tiny)
    assert answer.returncode == 1
    assert "v1.binpb is missing" in answer.stdout


def test_names_against_the_standard_are_refused(tiny: Path) -> None:
    change(tiny, lambda text: text.replace("= 2;\n", "= 2;\n  string theNote = 3;\n"))
    answer = script("check_protos.py", "--proto", tiny)
    assert answer.returncode == 1
    assert "the_note" in answer.stdout


def test_generated_code_that_differs_is_reported_and_can_be_mended(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "api"
    generate = ("generate_api.py", "--proto", tiny, "--output", output)
    assert script(*generate).returncode == 0
    assert script(*generate, "--check").returncode == 0

    change(tiny, lambda text: text.replace("= 2;\n", "= 2;\n  string note = 3;\n"))
    (output / "left_over_pb2.py").touch()
    answer = script(*generate, "--check")
    assert answer.returncode == 1
    assert "tiny/v1/tiny_pb2.py differs" in answer.stdout
    assert "left_over_pb2.py is generated from no .proto file" in answer.stdout

    assert script(*generate).returncode == 0
    assert script(*generate, "--check").returncode == 0
    assert {path.name for path in (output / "tiny" / "v1").iterdir()} == {
        "__init__.py",
        "tiny_pb2.py",
        "tiny_pb2.pyi",
        "tiny_pb2_grpc.py",
        "tiny_pb2_grpc.pyi",
    }


def test_a_file_that_protoc_refuses_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    change(tiny, lambda text: text.replace("message", "massage"))
    answer = script("generate_api.py", "--proto", tiny, "--output", tmp_path / "api")
    assert answer.returncode == 2
    assert "tiny.proto" in answer.stdout
    assert not (tmp_path / "api").exists()


def test_no_contract_uses_the_empty_message() -> None:
    users = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "proto").rglob("*.proto")
        if "google.protobuf.Empty" in path.read_text(encoding="utf-8")
    ]
    assert not users
