"""Which writers and pages of a corpus take part, by a rule that can be stated."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class TopWriters(Settings):
    """The writers with most of something."""

    n: int = Field(ge=2)
    """How many writers."""

    by: Literal["forms", "sentences", "lines", "ink"] = "forms"
    """Most of what: pages, sentences, text lines, or ink pixels."""

    ties: Literal["id"] = "id"
    """Who comes first among equals: the lower id."""


class WriterSettings(Settings):
    """Which writers and pages of the corpus take part; all of them unless something is said here."""

    top_writers: TopWriters | None = None
    """Only the writers with most of something."""

    min_pages: int = Field(default=1, ge=1)
    """Writers with fewer pages are left out."""
