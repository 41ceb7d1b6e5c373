"""Blocks of one row as bytes: one ``series[start,end)`` a line, in the order in which they were signed."""

from __future__ import annotations

from collections.abc import Iterable

from tanqiao.kernel.units import UnitBlock


def pack_blocks(blocks: Iterable[UnitBlock]) -> bytes:
    """Give the bytes of the blocks; none give none."""
    return "\n".join(f"{block.series_id}[{block.start},{block.end})" for block in blocks).encode()


def unpack_blocks(data: bytes) -> tuple[UnitBlock, ...]:
    """Read what `pack_blocks` wrote."""
    if not data:
        return ()
    return tuple(_unpack(line) for line in bytes(data).decode().split("\n"))


def _unpack(line: str) -> UnitBlock:
    series_id, _, span = line.rpartition("[")
    start, _, end = span[:-1].partition(",")
    return UnitBlock(series_id, int(start), int(end))
