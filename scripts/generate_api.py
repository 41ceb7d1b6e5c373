"""Write `shared/tanqiao/api` from the `.proto` files, or check that it says what they say.

Everything below the output folder is generated: messages, gRPC stubs and servicers, their type stubs, and one
empty `__init__.py` per folder. Anything else found there is removed (or reported by `--check`), so that a
renamed file leaves no ghost behind.

Exit code 0: written, or no difference. 1: `--check` found a difference, which is listed. 2: protoc refused.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO_FOLDER = ROOT / "proto"
API_FOLDER = ROOT / "shared" / "tanqiao" / "api"
PACKAGE_PATH = Path("tanqiao") / "api"


class ProtocRefusedError(Exception):
    """protoc did not accept the files; its own message was printed."""


def include_folders() -> list[Path]:
    """Return the folders of the well-known `google/protobuf`, and of `google/rpc` and its siblings."""
    well_known = Path(str(files("grpc_tools"))) / "_proto"
    # google is a namespace package: the folder that holds google/rpc is the parent of its parent.
    common = Path(str(files("google.rpc"))).parent.parent
    return [well_known, common]


def generate(proto_folder: Path, output_folder: Path) -> None:
    """Run protoc over every `.proto` below `proto_folder`; results go below `output_folder`/tanqiao/api."""
    sources = sorted((proto_folder / PACKAGE_PATH).rglob("*.proto"))
    if not sources:
        raise ProtocRefusedError(f"no .proto file below {PACKAGE_PATH}")
    output = str(output_folder)
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={proto_folder}"),
        *(f"--proto_path={folder}" for folder in include_folders()),
        *(f"--python_out={output}", f"--grpc_python_out={output}"),
        *(f"--mypy_out={output}", f"--mypy_grpc_out={output}"),
        *(str(source.relative_to(proto_folder)) for source in sources),
    ]
    # protoc finds its plug-ins, protoc-gen-mypy and protoc-gen-mypy_grpc, on the path.
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    answer = subprocess.run(
        command, check=False, env=dict(os.environ, PATH=search_path), capture_output=True, text=True
    )
    if answer.returncode != 0:
        raise ProtocRefusedError(answer.stderr.strip())
    api = output_folder / PACKAGE_PATH
    for folder in [api, *(path for path in api.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


def generated_files(folder: Path) -> dict[Path, bytes]:
    """Return what stands below the folder: relative path to content, byte caches left out."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(expected: Path, found: Path) -> list[str]:
    """Return one sentence for each file that is missing, left over or different; empty where all is well."""
    wanted, present = generated_files(expected), generated_files(found)
    return [
        *(f"{path} is missing" for path in wanted if path not in present),
        *(f"{path} is generated from no .proto file" for path in present if path not in wanted),
        *(f"{path} differs" for path in wanted if path in present and wanted[path] != present[path]),
    ]


def replace(expected: Path, target: Path) -> int:
    """Make `target` equal to `expected`; return how many files were written or removed."""
    wanted, present = generated_files(expected), generated_files(target)
    changed = 0
    for path, content in wanted.items():
        if present.get(path) != content:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)
            changed += 1
    for path in present.keys() - wanted.keys():
        (target / path).unlink()
        changed += 1
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Generate into a temporary folder, then compare with the committed code or replace it."""
    parser = argparse.ArgumentParser(description="Generate tanqiao.api from proto/.")
    parser.add_argument("--check", action="store_true", help="write nothing, report differences")
    parser.add_argument("--proto", type=Path, default=PROTO_FOLDER, help="folder of the .proto files")
    parser.add_argument("--output", type=Path, default=API_FOLDER, help="folder of the package tanqiao.api")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tanqiao-api-") as temporary:
        try:
            generate(options.proto.resolve(), Path(temporary))
        except ProtocRefusedError as refusal:
            print(refusal)
            return 2
        expected = Path(temporary) / PACKAGE_PATH
        if options.check:
            found = differences(expected, options.output)
            if found:
                print("The generated code does not say what proto/ says; run `make generate` and commit:")
                print("\n".join(f"  {sentence}" for sentence in found))
            return 1 if found else 0
        print(f"{replace(expected, options.output)} file(s) changed in {PACKAGE_PATH}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
