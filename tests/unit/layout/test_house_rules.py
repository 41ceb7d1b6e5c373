"""Each house rule finds the small bad source that breaks it, and leaves its good neighbour alone."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from tests.unit.layout import house_rules
from tests.unit.layout.modules import Module

KERNEL = "shared/tanqiao/kernel/sample.py"
DOMAIN = "services/region/tanqiao_region/domain/sample.py"
RULEPACK = "services/region/tanqiao_region/rulepacks/sample.py"
APPLICATION = "services/bridge/tanqiao_bridge/application/sample.py"
SERVER = "services/bridge/tanqiao_bridge/server/sample.py"
STORAGE = "services/bridge/tanqiao_bridge/storage/sample.py"
MAIN = "services/bridge/tanqiao_bridge/main.py"
BOOTSTRAP = "services/bridge/tanqiao_bridge/bootstrap.py"

BAD: list[tuple[house_rules.Rule, str, str]] = [
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "import time"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "from random import Random"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "import os.path"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "def late():\n    import secrets"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "from tanqiao import signing"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "from . import units"),
    (house_rules.pure_packages_import_only_what_computes, KERNEL, "import tanqiao_region.domain"),
    (
        house_rules.pure_packages_import_only_what_computes,
        DOMAIN,
        "from tanqiao_region.storage import tables",
    ),
    (house_rules.pure_packages_import_only_what_computes, DOMAIN, "from tanqiao_region import storage"),
    (house_rules.pure_packages_import_only_what_computes, DOMAIN, "from tanqiao_bridge.domain import decide"),
    (house_rules.pure_packages_import_only_what_computes, RULEPACK, "import grpc"),
    (house_rules.pure_packages_import_only_what_computes, RULEPACK, "from uuid import uuid4"),
    (house_rules.pure_packages_import_only_what_computes, RULEPACK, "from zoneinfo import ZoneInfo"),
    (
        house_rules.pure_packages_read_no_clock_and_do_no_io,
        KERNEL,
        "from datetime import datetime\ndatetime.now()",
    ),
    (
        house_rules.pure_packages_read_no_clock_and_do_no_io,
        KERNEL,
        "import datetime\ndatetime.datetime.utcnow()",
    ),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, KERNEL, "from datetime import date\ndate.today()"),
    (
        house_rules.pure_packages_read_no_clock_and_do_no_io,
        KERNEL,
        "import datetime as d\nd.date.fromtimestamp(0)",
    ),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, DOMAIN, "open('rules.json')"),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, DOMAIN, "print('refused')"),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, DOMAIN, "key = hash('440300')"),
    (house_rules.application_calls_nobody, APPLICATION, "import grpc"),
    (house_rules.application_calls_nobody, APPLICATION, "from tanqiao.client import bridge"),
    (house_rules.application_calls_nobody, APPLICATION, "from tanqiao.rpc.channel import open_channel"),
    (house_rules.application_calls_nobody, APPLICATION, "from tanqiao.api.bridge.v1 import sync_pb2_grpc"),
    (house_rules.application_calls_nobody, APPLICATION, "from tanqiao_bridge.server import callers"),
    (house_rules.handlers_commit_once, APPLICATION, "def f(work):\n    work.commit()\n    work.commit()"),
    (house_rules.servicers_hold_no_sql, SERVER, "from sqlalchemy import text"),
    (house_rules.servicers_hold_no_sql, SERVER, "from tanqiao_bridge.storage import tables"),
    (house_rules.servicers_hold_no_sql, SERVER, "from tanqiao.db import open_engine"),
    (house_rules.servicers_hold_no_sql, SERVER, "QUERY = 'select owner from location'"),
    (house_rules.servicers_hold_no_sql, SERVER, "QUERY = '''\n  INSERT INTO decision VALUES (1)'''"),
    (house_rules.only_bootstrap_wires, SERVER, "from tanqiao_bridge.storage import tables"),
    (house_rules.only_bootstrap_wires, STORAGE, "import tanqiao_bridge.server.sync"),
    (house_rules.only_bootstrap_wires, MAIN, "import tanqiao_bridge.server\nimport tanqiao_bridge.storage"),
    (house_rules.product_code_has_no_assert, KERNEL, "assert quantity_kg > 0"),
    (house_rules.files_are_one_idea, KERNEL, "x = 1\n" * (house_rules.LINES_OF_A_FILE_MAX + 1)),
    (house_rules.nothing_is_left_unfinished, KERNEL, f"x = 1  # {house_rules.UNFINISHED_MARKS[0]}: the rest"),
    (house_rules.nothing_is_left_unfinished, KERNEL, f'"""{house_rules.UNFINISHED_MARKS[1]}"""'),
    (house_rules.nothing_is_left_unfinished, KERNEL, f"def f():\n    raise {house_rules.UNFINISHED_NAME}"),
]

GOOD: list[tuple[house_rules.Rule, str, str]] = [
    (
        house_rules.pure_packages_import_only_what_computes,
        KERNEL,
        "from tanqiao.kernel.units import UnitBlock",
    ),
    (house_rules.pure_packages_import_only_what_computes, DOMAIN, "from tanqiao.claims import verdict"),
    (
        house_rules.pure_packages_import_only_what_computes,
        DOMAIN,
        "from tanqiao_region.rulepacks import model",
    ),
    (house_rules.pure_packages_import_only_what_computes, STORAGE, "import sqlalchemy, time"),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, KERNEL, "def f(clock):\n    return clock.now()"),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, KERNEL, "datetime.fromtimestamp(seconds, UTC)"),
    (
        house_rules.pure_packages_read_no_clock_and_do_no_io,
        KERNEL,
        "class A:\n    def __hash__(self):\n        return hash((self.a, self.b))",
    ),
    (house_rules.pure_packages_read_no_clock_and_do_no_io, STORAGE, "open('ledger.db')"),
    (house_rules.application_calls_nobody, APPLICATION, "from tanqiao.api.bridge.v1 import sync_pb2"),
    (house_rules.application_calls_nobody, SERVER, "import grpc"),
    (house_rules.handlers_commit_once, APPLICATION, "def f(w):\n    w.commit()\ndef g(w):\n    w.commit()"),
    (house_rules.servicers_hold_no_sql, SERVER, "sentence = 'Select a block from the list.'"),
    (house_rules.servicers_hold_no_sql, STORAGE, "from sqlalchemy import text"),
    (house_rules.servicers_hold_no_sql, SERVER, "from tanqiao.db.engine import Database"),
    (
        house_rules.only_bootstrap_wires,
        BOOTSTRAP,
        "import tanqiao_bridge.server\nimport tanqiao_bridge.storage",
    ),
    (house_rules.only_bootstrap_wires, STORAGE, "from tanqiao_bridge.storage import tables"),
    (house_rules.product_code_has_no_assert, KERNEL, "require(quantity_kg > 0, 'a block is never empty')"),
    (house_rules.files_are_one_idea, KERNEL, "x = 1\n" * house_rules.LINES_OF_A_FILE_MAX),
    (house_rules.nothing_is_left_unfinished, KERNEL, "x = 1  # the methodology of the list stays to be done"),
]


def module(path: str, text: str) -> Module:
    return Module(PurePosixPath(path), text)


def case_name(case: object) -> str | None:
    return getattr(case, "__name__", None)


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=case_name)
def test_a_house_rule_finds_what_breaks_it(rule: house_rules.Rule, path: str, text: str) -> None:
    findings = list(rule(module(path, text)))
    assert findings, f"{rule.__name__} did not see:\n{text}"
    assert all(finding.startswith(path) for finding in findings), "a finding says where"


@pytest.mark.parametrize(("rule", "path", "text"), GOOD, ids=case_name)
def test_a_house_rule_leaves_good_code_alone(rule: house_rules.Rule, path: str, text: str) -> None:
    assert list(rule(module(path, text))) == []


def test_every_house_rule_is_shown_to_fail() -> None:
    shown = {rule for rule, _, _ in BAD}
    assert shown == {*house_rules.PRODUCT_RULES, *house_rules.EVERYWHERE_RULES}
