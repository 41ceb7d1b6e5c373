"""`make bench`: measured rates beside their limits, as ratios."""

from __future__ import annotations

from tests.bench.command import main

main()
