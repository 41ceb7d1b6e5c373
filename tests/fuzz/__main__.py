"""``python -m tests.fuzz SEED MESSAGES``: messages that no honest party sends, and what they covered."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.campaign import MESSAGES_DEFAULT, PARTS, be_quiet, report, run
from tests.fuzz.world import CHECK_EVERY_DEFAULT, FaultFound


def main(arguments: list[str]) -> int:
    """Run; 1 if a fault was found."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument(
        "messages", type=int, nargs="?", default=MESSAGES_DEFAULT, help="of all worlds together"
    )
    parser.add_argument("--world", default="", help="one of: " + ", ".join(part.name for part in PARTS))
    parser.add_argument("--alone", action="store_true", help="MESSAGES are for this world alone")
    parser.add_argument(
        "--check-every", type=int, default=CHECK_EVERY_DEFAULT, help="messages between two looks"
    )
    parser.add_argument("--workers", type=int, default=2, help="worlds at a time")
    asked = parser.parse_args(arguments)
    parts = [part for part in PARTS if asked.world in ("", part.name)]
    if not parts:
        sys.stderr.write(f"no such world: {asked.world}\n")
        return 2
    messages = round(asked.messages / parts[0].share) if asked.alone else asked.messages
    be_quiet()
    try:
        names = [part.name for part in parts]
        results = run(asked.seed, messages, names, asked.check_every, min(asked.workers, len(parts)))
    except FaultFound as fault:
        sys.stdout.write(f"FAULT {fault}\n")
        return 1
    sys.stdout.write(report(results, asked.seed) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
