"""A value in one of the trees of a location map, for `verify_file`: standard library alone."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.independent.verify_proof import leaf_hash, matched, need, number, root_from_path, unbase64


def place_of(
    part: Callable[[bytes], bytes], form: re.Pattern[bytes], name: bytes, size: int, root: bytes
) -> int:
    """Give the index of a part in a tree; `Refused` where its path does not lead to the root."""
    value, path = part(name), matched(form.fullmatch(part(name + b"-path")), "not a path")
    at = number(path[1], "an index")
    need(at < size, "a place outside the tree")
    hashes = [unbase64(line) for line in path[2].split()]
    need(root_from_path(at, size, leaf_hash(value), hashes) == root, "not of that tree")
    return at
