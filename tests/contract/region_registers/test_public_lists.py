"""Public lists of what went through the registers: projects, methodologies, issuances, uses."""

from __future__ import annotations

from tanqiao_region.application.disclosure import Disclosures
from tests.contract.region.harness import CENTRE
from tests.contract.region_registers.office import Office, month


def read(office: Office, slug: str) -> list[dict[str, str]]:
    part = Disclosures(office.node.context, office.node.region.database).page(slug, "", 100)
    return [dict(zip(part.disclosure.fields, values, strict=True)) for _, values in part.rows]


def test_what_was_registered_and_issued_is_shown_and_no_account(on_the_line: Office) -> None:
    office, node = on_the_line, on_the_line.node
    account = node.queries.account(office.owner, CENTRE).account
    office.published()
    office.meter(month("2026-01", on_grid_wh=80_000_000))
    issued = office.issue()
    methodology = read(office, "methodologies")[0]
    assert (methodology["unit_class"], methodology["kind"]) == ("I", "project")
    project = read(office, "projects")[0]
    assert project["applicant"] == account.display_name
    assert project["notice_first_day"] < project["notice_last_day"] < project["published_on"]
    shown = read(office, "issuances")[0]
    assert (shown["project"], int(shown["quantity_kg"])) == (issued.project_id, issued.quantity_kg)
    assert shown["serials"].startswith(issued.series.series_id)
    lists, index = Disclosures(node.context, node.region.database).lists()
    everything = repr([read(office, one.slug) for one in lists])
    assert index > 0
    assert account.account_id not in everything
    assert account.holder_party not in everything
