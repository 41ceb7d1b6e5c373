"""Write `requirements.lock` and `requirements-dev.lock` from `pyproject.toml`.

Each line is a name, a version, an environment marker where one is needed, and the hashes of every file the
index lists for it, so that the lock serves every platform. No address is recorded: where a file comes from is
the machine's business, what it must be is ours.

Versions already locked are kept unless `--upgrade` (or `--upgrade-package NAME`) is given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_OLDEST = "3.11"
LOCKS: dict[str, tuple[str, ...]] = {
    "requirements.lock": (),
    "requirements-dev.lock": ("--group", "dev", "--extra", "matching"),
}


def compile_lock(name: str, selection: tuple[str, ...], extra: list[str]) -> None:
    """Resolve one selection of dependencies into one lock file; raise CalledProcessError where that fails."""
    # Without a constraint the two files could disagree about a shared dependency.
    constraint = [] if name == "requirements-dev.lock" else ["--constraint", "requirements-dev.lock"]
    uv = str(Path(sys.executable).parent / "uv")
    command = [
        *(uv, "pip", "compile", "pyproject.toml", *selection, *constraint),
        *("--universal", "--python-version", PYTHON_OLDEST, "--generate-hashes"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
        *("--quiet", "--output-file", name, *extra),
    ]
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> int:
    """Write the development lock first, then the runtime lock under its versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions the ranges allow")
    parser.add_argument("--upgrade-package", action="append", default=[], metavar="NAME")
    arguments = parser.parse_args()
    extra = ["--upgrade"] if arguments.upgrade else []
    for package in arguments.upgrade_package:
        extra += ["--upgrade-package", package]
    for name in sorted(LOCKS, key=lambda name: name != "requirements-dev.lock"):
        compile_lock(name, LOCKS[name], extra)
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
