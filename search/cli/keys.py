"""`whosehand keys`: what an experiment file may say."""

import textwrap
from typing import Annotated

import typer
from rich.text import Text

from search.cli.common import output

INDENT = "    "


def keys(
    start: Annotated[str, typer.Argument(metavar="[KEY]", help="Only keys that begin so, such as patches.")] = "",
) -> None:
    """List the keys of an experiment file, with their defaults and what they do."""
    from core.errors import ConfigError
    from search.experiment.keys import config_keys

    chosen = [key for key in config_keys() if key.name.startswith(start)]
    if not chosen:
        groups = sorted({key.name.split(".")[0].split("[")[0] for key in config_keys()})
        raise ConfigError(f"No key begins with {start!r}; the first words are {', '.join(groups)}.")
    for key in chosen:
        output.print(Text.assemble((key.name, "bold"), "  ", (key.default, "cyan")))
        if key.description:
            typer.echo(textwrap.fill(key.description, output.width, initial_indent=INDENT, subsequent_indent=INDENT))
