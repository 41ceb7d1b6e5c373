"""Three real nodes whose databases a test copies and puts back."""

from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tests.contract.hasty import hasty_nodes
from tests.contract.recovery.old_copies import old_copies

__all__ = ["hasty_nodes", "old_copies"]
