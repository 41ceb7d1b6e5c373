"""The project keeps its own rules: one test per rule, over every file it applies to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.layout import house_rules
from tests.unit.layout.modules import ROOT, SOURCE_FOLDERS, all_modules, product_modules


@pytest.mark.parametrize("rule", house_rules.PRODUCT_RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_house_rule(rule: house_rules.Rule) -> None:
    findings = [finding for module in product_modules() for finding in rule(module)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("rule", house_rules.EVERYWHERE_RULES, ids=lambda rule: rule.__name__)
def test_product_tests_and_scripts_keep_the_house_rule(rule: house_rules.Rule) -> None:
    findings = [finding for module in all_modules() for finding in rule(module)]
    assert not findings, "\n".join(findings)


def test_the_rules_see_the_packages_they_are_about() -> None:
    pure = {module.name for module in product_modules() if house_rules.is_pure(module)}
    assert {"tanqiao.kernel", "tanqiao.protocol", "tanqiao.claims", "tanqiao_region.domain"} <= pure
    assert {module.service for module in product_modules()} == {
        None,
        "tanqiao_region",
        "tanqiao_bridge",
        "tanqiao_gateway",
    }


def is_loaded_by_alembic(folder: Path) -> bool:
    """Alembic loads its environment and its revisions by path; nobody imports them."""
    return folder.name == "versions" or (folder / "env.py").is_file()


def test_every_package_is_an_ordinary_package() -> None:
    missing = sorted(
        str(folder.relative_to(ROOT))
        for source in SOURCE_FOLDERS
        for package in (ROOT / source).iterdir()
        if package.is_dir() and package.name != "__pycache__"
        for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]
        if any(folder.glob("*.py"))
        and not (folder / "__init__.py").is_file()
        and not is_loaded_by_alembic(folder)
    )
    assert not missing, f"without __init__.py a type checker loses sight of: {missing}"
