"""In which encoding a list is written: UTF-8 or GB18030, found out and never mixed.

The encoding of the file is that of most of its lines that have more than ASCII in them. A line that is not in
it is named: its row is rejected, for what it says cannot be known.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final

LINE_BYTES_MAX: Final = 1 << 20
"""Longest line that is read; a longer one is cut there and will not be a row."""
UTF8: Final = "utf-8"
GB18030: Final = "gb18030"
UNREADABLE: Final = "\ufffd"
_HAN: Final = ("\u3400", "\u9fff")


@dataclass(slots=True)
class DecodedLines:
    """The lines of a file as text; `unreadable` are the numbers of those that another encoding has written.

    Lines count from 1. Iterate once.
    """

    file: IO[bytes]
    encoding: str
    unreadable: set[int] = field(default_factory=set)

    def __iter__(self) -> Iterator[str]:
        """Give the lines with their ends; what cannot be read stands as U+FFFD."""
        number = 0
        while line := self.file.readline(LINE_BYTES_MAX):
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if self.encoding == GB18030 and is_surely_utf8(line):
                self.unreadable.add(number)
                yield line.decode(UTF8)
                continue
            try:
                yield line.decode(self.encoding)
            except UnicodeDecodeError:
                self.unreadable.add(number)
                yield line.decode(self.encoding, errors="replace")


def decoded_lines(file: IO[bytes]) -> DecodedLines:
    """Find out the encoding of a file that can be read twice, and give its lines from the beginning."""
    start = file.tell()
    utf8, other = 0, 0
    while line := file.readline(LINE_BYTES_MAX):
        if line.isascii():
            continue
        if is_utf8(line):
            utf8 += 1
        else:
            other += 1
    file.seek(start)
    return DecodedLines(file, GB18030 if other > utf8 else UTF8)


def is_utf8(line: bytes) -> bool:
    """Whether a line can be read as UTF-8."""
    try:
        line.decode(UTF8)
    except UnicodeDecodeError:
        return False
    return True


def is_surely_utf8(line: bytes) -> bool:
    """Whether a line is UTF-8 and has Han characters in it: GB18030 hardly ever looks so by chance."""
    if line.isascii() or not is_utf8(line):
        return False
    return any(_HAN[0] <= character <= _HAN[1] for character in line.decode(UTF8))
