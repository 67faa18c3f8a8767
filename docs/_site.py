"""Hooks of the docs site: diagrams are pictures, drawn beforehand; files outside the docs are
named, not linked.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Change a page before it is turned into HTML."""
    return _OUTSIDE.sub(r"\1 (`\2`)", _MERMAID.sub(_picture, markdown))


def _picture(block: re.Match[str]) -> str:
    key = hashlib.sha256(block[1].encode()).hexdigest()[:12]
    name = f"pictures/diagram-{key}.svg"
    if not (Path(__file__).parent / name).exists():
        raise PluginError(f"docs/{name} is missing: draw the changed diagram again (CONTRIBUTING.md).")
    return f"![Diagram]({name})"
