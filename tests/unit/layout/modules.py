"""The project's Python files as syntax trees, and what they import; the house rules stand on it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[3]
SOURCE_FOLDERS = ("shared", "services/region", "services/bridge", "services/gateway")
GENERATED = PurePosixPath("shared/tanqiao/api")


@dataclass(frozen=True)
class Module:
    """One source file: its path from the project's root, and its text."""

    path: PurePosixPath
    text: str

    @property
    def package_path(self) -> PurePosixPath:
        """The path from the folder that is the import root, for example `tanqiao/kernel/units.py`."""
        for folder in SOURCE_FOLDERS:
            if self.path.is_relative_to(folder):
                return self.path.relative_to(folder)
        return self.path

    @property
    def name(self) -> str:
        """The dotted name under which the file is imported."""
        parts = self.package_path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def service(self) -> str | None:
        """`tanqiao_region` and so on; None for the library."""
        first = self.package_path.parts[0]
        return first if first.startswith("tanqiao_") else None

    @property
    def layer(self) -> str:
        """The folder or module right below the package, such as `domain`; empty for the package."""
        parts = self.package_path.with_suffix("").parts
        return parts[1] if len(parts) > 1 and parts[1] != "__init__" else ""

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Every imported module by its dotted name, with the line; `from a import b` gives `a` and `a.b`."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[tuple[str, int]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, node.lineno
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                yield base, node.lineno
                for alias in node.names:
                    yield f"{base}.{alias.name}", node.lineno

    def imports_from(self, package: str) -> int | None:
        """Return the line of the first import of the package or of anything in it, or None."""
        lines = [line for name, line in self.imports if is_within(name, package)]
        return min(lines, default=None)


def is_within(name: str, package: str) -> bool:
    """Tell whether the dotted name is the package or stands in it."""
    return name == package or name.startswith(package + ".")


@lru_cache(maxsize=1)
def product_modules() -> tuple[Module, ...]:
    """Return every module of the product that a person wrote."""
    found = []
    for folder in SOURCE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = PurePosixPath(path.relative_to(ROOT).as_posix())
            if not relative.is_relative_to(GENERATED):
                found.append(Module(relative, path.read_text(encoding="utf-8")))
    return tuple(found)


@lru_cache(maxsize=1)
def all_modules() -> tuple[Module, ...]:
    """Return the product's modules, the tests and the scripts."""
    others = [
        Module(PurePosixPath(path.relative_to(ROOT).as_posix()), path.read_text(encoding="utf-8"))
        for folder in ("tests", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return (*product_modules(), *others)
