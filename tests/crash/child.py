"""``python -m tests.crash.child PARTY POINT MODULE …``: a node that kills itself at a point."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.crash.failpoints import Armed, Failpoints, Life, parse_point


def main(party: str, point: str, module: str, arguments: list[str]) -> None:
    """Serve until the point comes; what is after it is never reached (SIGKILL)."""
    points = Failpoints()
    points.only_life = Life(party, None)
    points.arm(Armed(parse_point(point)))
    sys.argv = [module, *arguments]
    with points.installed():
        import_module(module).main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
