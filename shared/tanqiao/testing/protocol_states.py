"""Prints the page of states: ``python -m tanqiao.testing.protocol_states > docs/protocol-states.md``."""

from __future__ import annotations

import sys

from tanqiao.protocol.tables import render_document

if __name__ == "__main__":
    sys.stdout.write(render_document())
