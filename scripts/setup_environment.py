"""Make `.venv` hold exactly what the lock file names, and do nothing when it already does.

Runs on the machine's own Python, so it uses the standard library only. It promises: after exit code 0 the
environment was installed from `requirements-dev.lock` with every hash checked, and the project's packages are
importable from their source folders. Two runs at the same time are safe: the second waits for the first and
then finds the work done.

The stamp is a digest of the inputs, not a modification time: a `git checkout` that touches files without
changing them costs nothing, and a checkout copied to another path sets itself up again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
INTERPRETER = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / ".setup-stamp"
LOCK_OF_SETUP = ROOT / ".setup.lock"
LOCKED_REQUIREMENTS = ROOT / "requirements-dev.lock"
INPUTS = (LOCKED_REQUIREMENTS, ROOT / "pyproject.toml", Path(__file__).resolve())
SETTINGS_THAT_INSTALL_ELSEWHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH")
PYTHON_OLDEST = (3, 11)


def digest_of_inputs() -> str:
    """Return a hexadecimal SHA-256 over everything the environment is made from, its own path included."""
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(f"{sys.version_info[:2]}\0{ROOT}".encode())
    return digest.hexdigest()


def is_ready(digest: str) -> bool:
    """Tell whether the environment was finished from these very inputs and its interpreter still starts."""
    if not STAMP.is_file() or STAMP.read_text(encoding="ascii") != digest or not INTERPRETER.exists():
        return False
    probe = subprocess.run([str(INTERPRETER), "-c", "import grpc"], check=False, capture_output=True)
    return probe.returncode == 0


def has_working_pip() -> bool:
    """Tell whether the existing environment can be updated in place, with the Python that runs us."""
    if not INTERPRETER.exists():
        return False
    probe = "import pip, sys; print(sys.version_info[:2])"
    answer = subprocess.run([str(INTERPRETER), "-c", probe], check=False, capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout.strip() == str(sys.version_info[:2])


def pip(*arguments: str) -> None:
    """Run the environment's pip; whatever it says on failure is shown as it is."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    for name in SETTINGS_THAT_INSTALL_ELSEWHERE:
        environment.pop(name, None)
    subprocess.run([str(INTERPRETER), "-m", "pip", *arguments], check=True, env=environment)


def install() -> None:
    """Create the environment if there is none that works, then install the lock and the project itself."""
    if not has_working_pip():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True)
    STAMP.unlink(missing_ok=True)
    pip("install", "--quiet", "--require-hashes", "--no-deps", "--requirement", str(LOCKED_REQUIREMENTS))
    # The build backend is in the lock too, so nothing is fetched that the lock does not name.
    pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT))
    pip("check")


def main() -> int:
    """Set the environment up under an exclusive lock; return a process exit code."""
    if sys.version_info < PYTHON_OLDEST:
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.")
        print("Name another one with: make setup PYTHON=/path/to/python3.11")
        return 1
    with LOCK_OF_SETUP.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = digest_of_inputs()
        if is_ready(digest):
            return 0
        print("Setting up .venv from requirements-dev.lock (a few minutes the first time) ...", flush=True)
        try:
            install()
        except subprocess.CalledProcessError as failure:
            step = " ".join(map(str, failure.cmd[1:4]))
            print(
                f"Setting up .venv failed: {step} ... exited with {failure.returncode}. Its message is above."
            )
            print("Without a package index in reach, set PIP_INDEX_URL or PIP_FIND_LINKS.")
            return 1
        STAMP.write_text(digest, encoding="ascii")
        print(".venv is ready.", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
