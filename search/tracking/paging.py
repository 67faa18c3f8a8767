"""MLflow answers a search in pages; nobody wants to miss the second one."""

from collections.abc import Callable
from typing import Any


def all_pages(search: Callable[[str | None], Any]) -> list[Any]:
    """Everything that a search finds.

    Args:
        search: gives the page of MLflow's entities that a token stands for, the first one for `None`.
    """
    found: list[Any] = []
    token = None
    while True:
        page = search(token)
        found += page
        token = page.token
        if not token:
            return found
