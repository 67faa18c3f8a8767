"""The order in which people expect names with numbers: `page 2` before `page 10`."""

import re

NaturalKey = tuple[list[tuple[int, int, str]], str]


def natural_key(name: str) -> NaturalKey:
    """A key to sort names by, without regard to case; the plain name decides between `1` and `01`.

    >>> sorted(["10", "9", "Ann", "ann 2"], key=natural_key)
    ['9', '10', 'Ann', 'ann 2']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], name
