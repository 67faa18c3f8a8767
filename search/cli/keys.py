"""`whosehand keys`: what an experiment file may say."""

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from search.cli.common import output

if TYPE_CHECKING:
    from search.experiment.keys import HyperparameterKey

INDENT = "    "


def keys(
    start: Annotated[
        str,
        typer.Argument(metavar="[KEY]", help="Only keys that begin so, such as patches, or learning_rate."),
    ] = "",
    is_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of hyperparameters as the docs have it.")
    ] = False,
) -> None:
    """List the keys of an experiment file and the hyperparameters it may search.

    A hyperparameter is searched by `space.dimensions`, or has one value in every trial by
    `space.fixed`.
    """
    from core.errors import ConfigError
    from search.experiment.keys import config_keys, hyperparameter_keys, hyperparameter_table

    if is_markdown:
        typer.echo(hyperparameter_table(), nl=False)
        return
    chosen = [key for key in config_keys() if key.name.startswith(start)]
    names = [key for key in hyperparameter_keys() if key.name.startswith(start) or "space".startswith(start)]
    if start.startswith("space.") and chosen:
        names = [key for key in hyperparameter_keys() if start in ("space.dimensions", "space.fixed")]
    if not chosen and not names:
        groups = sorted({key.name.split(".")[0].split("[")[0] for key in config_keys()})
        raise ConfigError(
            f"No key and no hyperparameter begins with {start!r}; the first words are {', '.join(groups)}."
        )
    for key in chosen:
        output.print(Text.assemble((key.name, "bold"), "  ", (key.default, "cyan")))
        _print_indented(key.description)
    if chosen and names:
        output.print(Text("\nhyperparameters: for space.dimensions, space.fixed and space.enqueue", "bold"))
    for name in names:
        _print_hyperparameter(name)


def _print_hyperparameter(key: "HyperparameterKey") -> None:
    output.print(Text.assemble((key.name, "bold"), f"  {key.kind}: {key.allowed}  ", (key.default, "cyan")))
    searched = (
        f"The preset `standard` searches {key.searched}." if key.searched else "The preset `standard` has it fixed."
    )
    _print_indented(f"{key.meaning} {searched}")


def _print_indented(text: str) -> None:
    if text:
        typer.echo(textwrap.fill(text, output.width, initial_indent=INDENT, subsequent_indent=INDENT))
