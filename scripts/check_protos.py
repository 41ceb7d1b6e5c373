"""Hold the wire contract to its rules: format, Buf STANDARD lint, no breaking change since the last release.

The last release is a committed descriptor image, `proto/released/v1.binpb`, so nothing is fetched and the
check works in a clone without tags. `--release` writes that image from the present files; it refuses where
the change since the last image is breaking, unless `--first` says that nothing has been published yet.

Exit code 0: all rules hold. 1: at least one does not; what buf said is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO_FOLDER = ROOT / "proto"
RELEASED_IMAGE = Path("released") / "v1.binpb"


def buf(proto_folder: Path, *arguments: str) -> bool:
    """Run buf in the folder; tell whether it was content, and print what it said otherwise."""
    program = Path(sys.executable).parent / "buf"
    with tempfile.TemporaryDirectory(prefix="tanqiao-buf-") as cache:
        # buf wants a cache folder even offline, and looks for it in HOME, which may not exist.
        environment = dict(os.environ, BUF_CACHE_DIR=cache)
        answer = subprocess.run(
            [str(program), *arguments],
            check=False,
            cwd=proto_folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    if answer.returncode != 0:
        print(f"buf {arguments[0]}:")
        print((answer.stdout + answer.stderr).strip())
    return answer.returncode == 0


def is_compatible(proto_folder: Path, image: Path) -> bool:
    """Tell whether everything that worked with the image's contract still works with the present one."""
    return buf(proto_folder, "breaking", "--against", str(image))


def check(proto_folder: Path) -> bool:
    """Apply every rule, even after the first that fails, so that one run shows all there is to mend."""
    image = proto_folder / RELEASED_IMAGE
    if not image.is_file():
        print(f"{image.name} is missing: without it no breaking change would be seen.")
    return all(
        [
            buf(proto_folder, "format", "--diff", "--exit-code"),
            buf(proto_folder, "lint"),
            image.is_file() and is_compatible(proto_folder, image),
        ]
    )


def release(proto_folder: Path, *, is_first: bool) -> bool:
    """Write the image of the present contract; False where that would hide a breaking change."""
    image = proto_folder / RELEASED_IMAGE
    if image.is_file() and not is_first and not is_compatible(proto_folder, image):
        return False
    image.parent.mkdir(exist_ok=True)
    return buf(proto_folder, "build", "--exclude-source-info", "--output", str(image))


def main(arguments: list[str] | None = None) -> int:
    """Check, or write the image of a release; return a process exit code."""
    parser = argparse.ArgumentParser(description="Check proto/ with buf, offline.")
    parser.add_argument("--proto", type=Path, default=PROTO_FOLDER, help="folder of the .proto files")
    parser.add_argument("--release", action="store_true", help="write the image of this contract")
    parser.add_argument("--first", action="store_true", help="with --release: nothing was published before")
    options = parser.parse_args(arguments)
    folder = options.proto.resolve()
    done = release(folder, is_first=options.first) if options.release else check(folder)
    return 0 if done else 1


if __name__ == "__main__":
    raise SystemExit(main())
