from __future__ import annotations

from tanqiao.testing.databases import *  # noqa: F403 - fixtures
from tanqiao.testing.databases import _shared_server  # noqa: F401 - a fixture that the others use
