"""Lists of ids that a user names: in the experiment file itself, or in a text file with one id a line."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from core.errors import WhosehandError

_SHOWN = 5


def _are_text(value: object) -> object:
    if isinstance(value, list) and any(not isinstance(item, str) for item in value):
        wrong = next(item for item in value if not isinstance(item, str))
        raise ValueError(
            f"ids must be text, but got {wrong!r}; write them in quotes, because YAML takes 007 for the number 7"
        )
    return value


IdList = Annotated[tuple[str, ...] | Path, BeforeValidator(_are_text)]
"""Ids, or the path of a UTF-8 file with one id a line; empty lines and those that begin with `#` do not count."""


def read_ids(ids: IdList, key: str, error: type[WhosehandError]) -> tuple[str, ...]:
    """The ids of a list, in its order.

    Args:
        ids: themselves, or a file of them.
        key: of the experiment file, for messages.
        error: what to raise.

    Raises:
        WhosehandError: of the kind asked for, if the file cannot be read, an id is there twice, or there is none.
    """
    if isinstance(ids, Path):
        place, named = f"{key}: {ids}", _read(ids, key, error)
    else:
        place, named = key, [(number, text.strip()) for number, text in enumerate(ids, start=1)]
    first_at: dict[str, int] = {}
    for number, text in named:
        if text in first_at:
            where = f"in lines {first_at[text]} and {number}" if isinstance(ids, Path) else "twice"
            raise error(f"{place} must name every id once, but {text!r} is there {where}. Remove one.")
        first_at[text] = number
    if not first_at:
        raise error(f"{place} must name at least one id, but is empty. Name some, or remove the key.")
    return tuple(first_at)


def check_known(ids: Sequence[str], known: Collection[str], key: str, what: str, error: type[WhosehandError]) -> None:
    """See that every id of a list is one of the corpus.

    Args:
        ids: of the list.
        known: of the corpus.
        key: of the experiment file, for messages.
        what: they are, such as "writers".
        error: what to raise.

    Raises:
        WhosehandError: of the kind asked for; it names the unknown ids with those that are nearest to them.
    """
    unknown = [text for text in ids if text not in known]
    if unknown:
        shown = "; ".join(_with_nearest(text, known) for text in unknown[:_SHOWN])
        more = f"; and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise error(
            f"{key} must name {what} of the corpus, but {len(unknown)} of {len(ids)} are not among its {len(known)}: "
            f"{shown}{more}."
        )


def _read(path: Path, key: str, error: type[WhosehandError]) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error(f"{key}: the list {path} is not there.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(
            f"{key}: a list must be UTF-8 text with one id a line, but {path} cannot be read: {cause}."
        ) from cause
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _with_nearest(text: str, known: Collection[str]) -> str:
    near = get_close_matches(text, list(known), n=3, cutoff=0.5)
    return f"{text!r} (the nearest: {', '.join(map(repr, near))})" if near else repr(text)
