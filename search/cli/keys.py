"""`whosehand keys`: what an experiment file may say."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from search.cli.terminal import output


def keys(
    start: Annotated[str, typer.Argument(metavar="[KEY]", help="Only keys that begin so, such as patches.")] = "",
) -> None:
    """List the keys of an experiment file, with their defaults and what they do."""
    from core.errors import ConfigError
    from search.config_keys import config_keys

    chosen = [key for key in config_keys() if key.name.startswith(start)]
    if not chosen:
        groups = sorted({key.name.split(".")[0].split("[")[0] for key in config_keys()})
        raise ConfigError(f"No key begins with {start!r}; the first words are {', '.join(groups)}.")
    table = Table("key", "default", "what it does", show_lines=False, pad_edge=False)
    for key in chosen:
        table.add_row(escape(key.name), escape(key.default), escape(key.description))
    output.print(table)
