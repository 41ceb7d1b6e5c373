"""The program `tanqiao`: loads the command line, and ends quietly if it is stopped meanwhile."""

from __future__ import annotations

import sys

_EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from tanqiao.cli.main import main as commands
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    commands()


if __name__ == "__main__":
    main()
