"""Loading rule packs from directories: the part of the rule engine that touches files.

A pack is a directory with ``pack.toml``, further ``*.toml`` beside it, ``rules.py``, further ``rules_*.py``,
and ``cases/``. Rules take precedence in the order of their files and, in a file, of their lines. A pack is
found by being there: in the directory shipped with the node, or in one named in the node's configuration.
The digest is SHA-256 over the path and content of every law file in sorted order; case files and compiled
files are left out of it, since they decide nothing. A pack that fails its own checks stops the node.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken, require
from tanqiao_region.domain.rules.compose import compose_pack
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.parameters import ParameterValue
from tanqiao_region.domain.rules.verdicts import PackIdentity

SHIPPED_PACKS: Final = Path(__file__).parent / "rulepacks"
DATA_FILE: Final = "pack.toml"
RULES_FILE: Final = "rules.py"
FURTHER_RULES: Final = "rules_*.py"
CASES_DIRECTORY: Final = "cases"
LAW_SUFFIXES: Final = frozenset({".toml", ".py"})
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
FILES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack and where it came from."""

    pack: RulePack
    directory: Path


def pack_digest(directory: Path) -> str:
    """Give the SHA-256 over the sorted paths and contents of the pack's law files, hexadecimal."""
    digest = hashlib.sha256()
    for path in _law_files(directory):
        content = path.read_bytes()
        name = path.relative_to(directory).as_posix().encode()
        digest.update(len(name).to_bytes(8, "big") + name)
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def load_pack(
    directory: Path, *, network_id: str, operator_values: Iterable[ParameterValue] = ()
) -> RulePack:
    """Load the pack of a directory.

    Raises:
        InvariantBroken: a file is missing or unreadable, or the pack is not sound.
        DomainError: PARAMETER_INVALID, for a value that its definition does not allow.
    """
    digest = pack_digest(directory)
    tables = _read_tables(directory)
    namespace = _read_rules(directory, digest)
    return compose_pack(
        tables, namespace, digest=digest, network_id=network_id, operator_values=operator_values
    )


class RulePackLibrary:
    """Every pack that a node knows, chosen by region and legal date, or by identity for a replay."""

    def __init__(self, packs: Iterable[LoadedPack]) -> None:
        self.packs: tuple[LoadedPack, ...] = tuple(packs)
        self._by_identity: dict[tuple[str, str], RulePack] = {}
        for loaded in self.packs:
            identity = loaded.pack.identity
            key = (identity.pack_id, identity.version)
            require(key not in self._by_identity, f"two packs are called {key}")
            self._by_identity[key] = loaded.pack

    @staticmethod
    def discover(
        *,
        network_id: str,
        extra_directory: Path | None = None,
        operator_values: Mapping[str, Iterable[ParameterValue]] | None = None,
    ) -> RulePackLibrary:
        """Load every pack shipped with the node and every one of the extra directory.

        Args:
            network_id: the network's id.
            extra_directory: directory with one folder per further pack, from the node's configuration.
            operator_values: dated values of the deployment, by pack id.

        Raises:
            InvariantBroken: a directory does not exist, or a pack is not sound.
        """
        roots = [SHIPPED_PACKS] if extra_directory is None else [SHIPPED_PACKS, extra_directory]
        values = operator_values or {}
        loaded: list[LoadedPack] = []
        for root in roots:
            require(root.is_dir(), f"the directory of rule packs {root} does not exist")
            for directory in sorted(path for path in root.iterdir() if (path / DATA_FILE).is_file()):
                pack_id = _pack_id(directory)
                pack = load_pack(directory, network_id=network_id, operator_values=values.get(pack_id, ()))
                loaded.append(LoadedPack(pack, directory))
        return RulePackLibrary(loaded)

    def in_force(self, region: str, on: date) -> RulePack:
        """Give the pack of the region that is in force on the legal date.

        Raises:
            DomainError: RULE_PACK_NOT_IN_FORCE, if none is.
            InvariantBroken: two packs of one region are in force on one day.
        """
        found = [
            loaded.pack for loaded in self.packs if loaded.pack.region == region and loaded.pack.in_force(on)
        ]
        if not found:
            raise DomainError("RULE_PACK_NOT_IN_FORCE", date=on.isoformat(), region=region)
        require(len(found) == 1, f"two rule packs of {region} are in force on {on.isoformat()}")
        return found[0]

    def by_identity(self, identity: PackIdentity) -> RulePack:
        """Give the pack under which an old entry was decided, for a replay under its own version.

        Raises:
            DomainError: RULES_DIGEST_MISMATCH, if the pack is not loaded or its files have changed.
        """
        pack = self._by_identity.get((identity.pack_id, identity.version))
        if pack is None or pack.identity.digest != identity.digest:
            ours = str(pack.identity) if pack is not None else "–"
            raise DomainError("RULES_DIGEST_MISMATCH", ours=ours, theirs=str(identity))
        return pack

    def regions(self) -> frozenset[str]:
        """Give the division codes for which there is a pack."""
        return frozenset(loaded.pack.region for loaded in self.packs)


def _law_files(directory: Path) -> list[Path]:
    require((directory / DATA_FILE).is_file(), f"{directory} is no rule pack: {DATA_FILE} is missing")
    require((directory / RULES_FILE).is_file(), f"{directory} is no rule pack: {RULES_FILE} is missing")
    found = [
        path
        for path in sorted(directory.rglob("*"), key=lambda item: item.relative_to(directory).as_posix())
        if path.is_file() and path.suffix in LAW_SUFFIXES and not _aside(path.relative_to(directory))
    ]
    require(len(found) <= FILES_MAX, f"{directory} has more than {FILES_MAX} law files")
    for path in found:
        require(path.stat().st_size <= FILE_BYTES_MAX, f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return found


def _aside(relative: Path) -> bool:
    return relative.parts[0] in (CASES_DIRECTORY, "__pycache__")


def _read_tables(directory: Path) -> dict[str, object]:
    merged: dict[str, object] = {}
    for path in sorted(directory.glob("*.toml")):
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvariantBroken(f"{path} cannot be read: {error}") from error
        twice = sorted(set(content) & set(merged))
        require(not twice, f"{path}: {', '.join(twice)} is already in another file of the pack")
        merged.update(content)
    return merged


def _pack_id(directory: Path) -> str:
    head = _read_tables(directory).get("pack")
    require(isinstance(head, dict) and "id" in head, f"{directory / DATA_FILE} names no pack id")
    return str(head["id"]) if isinstance(head, dict) else ""


def _read_rules(directory: Path, digest: str) -> dict[str, object]:
    """Run the rule modules under names of their own, so that versions stand side by side."""
    merged: dict[str, object] = {}
    for path in [directory / RULES_FILE, *sorted(directory.glob(FURTHER_RULES))]:
        found = _run_module(path, f"tanqiao_rulepack_{directory.name}_{path.stem}_{digest[:16]}")
        twice = sorted(name for name in set(found) & set(merged) if not name.startswith("_"))
        require(not twice, f"{path}: {', '.join(twice)} is already in another file of the pack")
        merged.update(found)
    return merged


def _run_module(path: Path, name: str) -> dict[str, object]:
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise InvariantBroken(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # annotations are looked up in the module that a function belongs to
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise InvariantBroken(f"{path} cannot be loaded: {error}") from error
    return {key: value for key, value in vars(module).items() if getattr(value, "__module__", None) == name}
