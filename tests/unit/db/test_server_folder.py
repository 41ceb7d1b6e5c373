"""Where the servers of test runs keep their files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tanqiao.testing import databases
from tanqiao.testing.databases import folder_for_servers


def test_files_are_kept_in_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "SERVER_ROOM_BYTES_MIN", 1)
    assert folder_for_servers(tmp_path) == tmp_path
    monkeypatch.setattr(databases, "SERVER_ROOM_BYTES_MIN", 2**62)
    assert folder_for_servers(tmp_path) == Path(tempfile.gettempdir())


def test_files_are_kept_on_the_disk_where_there_is_no_such_file_system(tmp_path: Path) -> None:
    assert folder_for_servers(tmp_path / "missing") == Path(tempfile.gettempdir())
