"""Writes a new Alembic revision of a service from the difference between its tables and its migrations.

    python scripts/make_migration.py tanqiao_bridge.storage.schema "the first schema"

The revision is a draft to be read and corrected by hand: guards are installed explicitly, data moves are
yours.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import VERSION_TABLE, Schema, _config, _upgrade, head_revision

TEMPLATE = '''"""{title}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import install, remove
from {module} import GUARDS

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
    """Make the tables and their guards."""
{upgrade}
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
{downgrade}
'''


def main() -> None:
    """Write the next revision."""
    module, title = sys.argv[1], sys.argv[2]
    schema: Schema = importlib.import_module(module).SCHEMA
    folder = Path(importlib.import_module(schema.package).__file__ or "").parent / "versions"
    down = head_revision(schema)
    number = len(list(folder.glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as directory:
        database = open_engine(f"sqlite:///{directory}/draft.sqlite", role="writer")
        with database.migrating() as connection:
            if down is not None:
                # Guards of the tables that this revision is to make cannot be there yet.
                _upgrade(connection, _config(schema), replace(schema, guards=()), "head")
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            script = produce_migrations(context, schema.metadata)
            upgrade = render_python_code(script.upgrade_ops_list[0], render_as_batch=False)
            downgrade = render_python_code(script.downgrade_ops_list[0], render_as_batch=False)
        database.close()
    text = TEMPLATE.format(
        title=title,
        module=module,
        revision=f"{number:04d}",
        down=down,
        upgrade="    " + upgrade.strip(),
        downgrade="    " + downgrade.strip(),
    )
    (folder / f"{number:04d}_{title.replace(' ', '_').replace('-', '_')}.py").write_text(text)


main()
