"""Hooks of the docs site: diagrams are pictures, drawn beforehand; notebooks are pages; files
outside the docs are named, not linked.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_SHIM = "https://unpkg.com/iframe-worker/shim"
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each notebook, with its outputs."""
    for path in sorted((Path(__file__).parent / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        note = f"*This page is a notebook: [download it]({path.name}).*"
        first, *rest = map(_cell, cells)
        content = "\n\n".join([first, note, *rest])
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=content))
    return files


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return text
    printed, shown = "", []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            printed += "".join(output["text"])
        elif "text/html" in output["data"]:
            shown.append(f'<div class="output">{"".join(output["data"]["text/html"])}</div>')
        else:
            shown.append(f"```text\n{''.join(output['data']['text/plain'])}\n```")
    return "\n\n".join([f"```python\n{text}\n```", *([f"```text\n{printed}```"] if printed else []), *shown])


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Change a page before it is turned into HTML."""
    markdown = re.sub(r"(\(notebooks/\w+)\.ipynb\)", r"\1.md)", markdown)
    return _OUTSIDE.sub(r"\1 (`\2`)", _MERMAID.sub(_picture, markdown))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Load nothing from the network: the theme's shim for a search without a server is ours."""
    return output.replace(_SHIM, f"{'../' * page.url.count('/')}javascripts/frame_worker.js")


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """The same for the page that says that there is no such page."""
    return output_content.replace(_SHIM, "/javascripts/frame_worker.js")


def _picture(block: re.Match[str]) -> str:
    key = hashlib.sha256(block[1].encode()).hexdigest()[:12]
    name = f"pictures/diagram-{key}.svg"
    if not (Path(__file__).parent / name).exists():
        raise PluginError(f"docs/{name} is missing: draw the changed diagram again (CONTRIBUTING.md).")
    return f"![Diagram]({name})"
