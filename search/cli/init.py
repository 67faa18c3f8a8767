"""`whosehand init`: an experiment for the scans that are there, or the examples to begin with."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigError
from core.wording import counted
from search.cli.common import notes, output

if TYPE_CHECKING:
    from search.sweep.proposal import Proposal


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="The folder with your scans, or a CSV table of them."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="experiments/<name of the folder>.yaml")
    ] = None,
    is_measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Train for some seconds, to propose a budget in minutes.")
    ] = True,
    overwrites: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write an experiment for the scans in a folder; without a folder, copy the example
    experiments.

    The layout is recognised, writers and pages are counted, and a budget is proposed from this
    machine's speed.
    """
    if folder is None:
        _copy_examples(out or Path("experiments"))
        return
    from search.sweep.proposal import propose_experiment

    if not folder.exists():
        raise ConfigError(f"{folder} is not there. Name the folder with your scans, or leave it out for the examples.")
    if is_measured:
        notes.print("measuring this machine's speed (some seconds) ...")
    proposal = propose_experiment(folder, measures_speed=is_measured)
    path = out or Path("experiments") / f"{proposal.experiment.name}.yaml"
    if path.exists() and not overwrites:
        raise ConfigError(f"{path} is there already. Give --out another name, or --force to replace it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(proposal.to_yaml(path), encoding="utf-8")
    _print(proposal, path)


def _print(proposal: "Proposal", path: Path) -> None:
    output.print(f"{proposal.like.root}: {proposal.like.title}")
    output.print(f"  {proposal.n_writers} writers, {proposal.n_pages:,} {proposal.item}s ({proposal.each_writers})")
    if proposal.n_excluded_writers:
        excluded = counted(proposal.n_excluded_writers, "writer has", "writers have")
        output.print(f"  {excluded} too few {proposal.item}s and will not take part")
    budget = proposal.experiment.budget
    if proposal.patches_per_s is not None:
        output.print(
            f"  {proposal.patches_per_s:,.0f} patches a second: {budget.trials} trials, {budget.minutes:g} min"
        )
    output.print(f"wrote {path}")
    output.print(f"next: whosehand data stats {path}")
    output.print(f"then: whosehand sweep {path}")


def _copy_examples(folder: Path) -> None:
    examples = sorted(_examples_folder().glob("*.yaml"))
    folder.mkdir(parents=True, exist_ok=True)
    for example in examples:
        if (folder / example.name).exists():
            output.print(f"kept  {folder / example.name}, which was there")
            continue
        shutil.copyfile(example, folder / example.name)
        output.print(f"wrote {folder / example.name}")
    output.print(f"next: whosehand sweep {folder / 'quickstart.yaml'}, or whosehand init FOLDER for your own scans")


def _examples_folder() -> Path:
    """`whosehand/experiments` of an installed package; in a checkout they stand at its top."""
    spec = find_spec("whosehand")
    package = Path(next(iter(spec.submodule_search_locations or ()))) if spec is not None else Path()
    return package / "experiments" if (package / "experiments").is_dir() else package.parent / "experiments"
