from __future__ import annotations

from tanqiao.testing.databases import *  # noqa: F403 - fixtures
