"""Step a: the lists of CCER and of the green certificates are imported."""

from __future__ import annotations

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.cli.demo.lists import Built, load_sources, write_lists
from tanqiao.cli.demo.story import Story
from tanqiao.cli.verbs.gateways import OPERATOR, upload_list


def import_lists(story: Story) -> None:
    """Build both lists, import them, and ask the gateways as another party what they hold."""
    story.begin("a", "导入清单", "The lists of outside registries are imported")
    sources = load_sources()
    story.note(f"来源 source: {sources.origin}")
    ccer, gec = write_lists(sources, story.session.home.path / "demo", story.cast.run)
    _import(
        story, "ccer", ccer, f"CCER 公开记录样本与虚构行 public records and invented rows; {sources.origin}"
    )
    _import(story, "gec", gec, f"真实电站名称、虚构绿证 real plants, invented certificates; {sources.origin}")
    plant = story.cast.applied_elsewhere
    answer = story.reader.gateway("ccer").registry.ListRecords(
        registry_pb2.ListRecordsRequest(text=f"XUGOU-CCER-{story.cast.run:06d}")
    )
    found = [record for record in answer.records if record.invented and record.title == plant.name]
    story.check("虚构记录可查且有标记 invented rows are found and marked", len(found) == 1, plant.name)


def _import(story: Story, registry: str, built: Built, source: str) -> None:
    client = story.session.gateway(registry, role=OPERATOR)
    answer = upload_list(
        client,
        built.path,
        source=source,
        as_of=story.today(),
        request_id=story.cast.request_id(f"import-{registry}"),
    )
    for row in answer.errors[:5]:
        story.note(f"行 line {row.line_number} {row.column}: {row.refusal.sentence_en}")
    story.require(
        f"{registry.upper()} 清单已导入 list imported",
        answer.committed and not answer.errors,
        f"{built.real_rows} 行真实 real + {built.invented_rows} 行虚构 invented",
    )
    status = story.reader.gateway(registry).registry.GetRegistryStatus(
        registry_pb2.GetRegistryStatusRequest()
    )
    story.check(
        f"{registry.upper()} 网关所答 the gateway answers",
        status.record_count == built.real_rows + built.invented_rows,
        f"{status.record_count} 条 records",
    )
