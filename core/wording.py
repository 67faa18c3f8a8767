"""Numbers in sentences."""


def counted(number: int, what: str, several: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(2, "image"), counted(0, "copy", "copies")
    ('1 image', '2 images', 'no copies')
    """
    return f"{f'{number:,}' if number else 'no'} {what if number == 1 else several or what + 's'}"


def ordinal(n: int) -> str:
    """The number as an ordinal.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
