"""What everybody may read of the registers: lists that the law makes public (RULES section 10)."""

from __future__ import annotations

from typing import Final

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao_region.storage import registers as store

ID_SHOWN_MAX: Final = 64


class RegisterReads:
    """Reads of methodologies and projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def methodologies(self, after: str, limit: int) -> list[registers_pb2.Methodology]:
        """Give a page of published methodologies."""
        with self._database.reading() as connection:
            return store.list_methodologies(connection, after=after, limit=limit)

    def project(self, project_id: str) -> registers_pb2.Project:
        """Give a project; NOT_FOUND if there is none."""
        with self._database.reading() as connection:
            row = store.load_project(connection, project_id)
        if row is None:
            raise DomainError("NOT_FOUND", field="project_id", what="project", id=project_id[:ID_SHOWN_MAX])
        return row.project

    def projects(self, state: int, after: str, limit: int) -> list[registers_pb2.Project]:
        """Give a page of projects."""
        with self._database.reading() as connection:
            return store.list_projects(connection, state=state, after=after, limit=limit)
