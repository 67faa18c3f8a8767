"""What a newcomer's sweep comes to: its champion, the champion of version 0.1 and the published
recipe, on sealed test pages.

    python -m benchmarks.champions dhsd --dhsd PATH         (37 writers, eight words of each to train on)
    python -m benchmarks.champions hands                    (50 generated writers of four pages)

For each seed a sweep of the default space runs for `--minutes`, and three networks are refitted for
as long as pays, at most `--refit-minutes` each: the sweep's best, the recipe, and what the sweep of
version 0.1 had found on DHSD. Each opens the test pages once for each seed. Sweeps, refits and
scores are kept in the folder, and the same command goes on from there; several may share the folder,
each with seeds or networks (`--only`) of its own. It takes about an hour for each seed of each corpus.
"""  # noqa: W505

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import whosehand as wh
from benchmarks.kept_results import KeptResults
from benchmarks.options import Alike, DhsdRoot
from benchmarks.report import notes, print_report
from core.corpora.settings import DhsdSettings
from core.networks.presets import find_preset
from core.scoring.intervals import PairedTest, compare_paired
from search.cli.common import progress_bar
from search.experiment.workspace import Workspace
from search.sweep.preparation import prepare_corpus

DEFAULT, FORMER, RECIPE = "default sweep", "0.1's champion", "recipe"
FORMER_POINT = replace(find_preset("pooled").middle, filters=48, convolutions_per_block=2, head="flatten", n_dense=0)
"""Trial 6 of the sweep of DHSD in docs/results.md, as far as it is told there."""


def main(
    corpus: Annotated[str, typer.Argument(help="hands or dhsd.")],
    seeds: Annotated[str, typer.Option(help="Of sweeps, each with its refits; with commas.")] = "1,2,3",
    only: Annotated[str, typer.Option(help="Networks by name, with commas; all three if empty.")] = "",
    minutes: Annotated[float, typer.Option(min=0.1, help="Of each sweep.")] = 30.0,
    refit_minutes: Annotated[float, typer.Option(min=0.1, help="Most of each refit.")] = 8.0,
    words: Annotated[int, typer.Option(min=1, help="Of each DHSD writer, to train on.")] = 8,
    judging: Annotated[int, typer.Option(min=1, help="Words of each DHSD writer that the sweep is judged on.")] = 4,
    alike: Alike = 0.5,
    dhsd: DhsdRoot = Path("data/dhsd"),
    folder: Annotated[Path, typer.Option(help="Project of the sweeps.")] = Path("build/champions"),
) -> None:
    """Compare champions on sealed test pages."""
    if corpus not in ("hands", "dhsd"):
        raise typer.BadParameter(f"A corpus is hands or dhsd, but got {corpus}.")
    contenders = [name.strip() for name in only.split(",")] if only else [DEFAULT, FORMER, RECIPE]
    if unknown := {*contenders} - {DEFAULT, FORMER, RECIPE}:
        raise typer.BadParameter(f"A network is {DEFAULT}, {FORMER} or {RECIPE}, but got {', '.join(sorted(unknown))}.")
    project = folder.absolute()
    project.mkdir(parents=True, exist_ok=True)
    kept = KeptResults(project / f"{corpus}.json")
    if corpus == "hands":
        about: dict[str, Any] = {"corpus": {"layout": "hands", "n_writers": 50, "n_pages": 4, "alike": alike}}
    else:
        lists = _deal_words(dhsd.absolute(), words, judging, project)
        about = {"corpus": {"layout": "dhsd", "root": str(dhsd.absolute())}, "split": {"lists": lists}}
    found: dict[str, dict[int, Mapping[str, Any]]] = {contender: {} for contender in contenders}
    for seed in (int(text) for text in seeds.split(",")):
        for contender, results in found.items():
            notes.print(f"{corpus}, seed {seed}: {contender} ...")
            experiment = _experiment(contender, f"{corpus}-{seed}", {**about, "seed": seed}, minutes)
            what = {"corpus": corpus, "contender": contender, "seed": seed, "refit_minutes": refit_minutes}
            results[seed] = kept.get_or_make(
                {**what, "experiment": experiment.model_dump(mode="json", exclude={"corpus": {"root"}})},
                partial(_run, experiment, refit_minutes, project),
            )
    _print(corpus, found, minutes, refit_minutes)


def _deal_words(root: Path, words: int, judging: int, project: Path) -> dict[str, str]:
    """So many words of each writer to train on and to judge; the corpus's own test words.

    Returns:
        Files with the ids of images, by subset.
    """
    experiment = wh.Experiment(
        name="words", corpus=DhsdSettings(root=root), split=wh.Split(official="use"), budget=wh.Budget(trials=1)
    )
    with progress_bar("reading DHSD's words") as advance:
        corpus = prepare_corpus(experiment, Workspace(project), advance)
    writer_of = {image.image_id: image.writer_id for image in corpus.index.images}
    open_words = sorted([*corpus.manifest.train, *corpus.manifest.validation])
    dealt: dict[str, list[str]] = {"train": [], "validation": [], "test": list(corpus.manifest.test)}
    taken: dict[str, int] = {}
    for place in np.random.default_rng(0).permutation(len(open_words)):
        word = open_words[place]
        n = taken[writer_of[word]] = taken.get(writer_of[word], 0) + 1
        if n <= words + judging:
            dealt["train" if n <= words else "validation"].append(word)
    for subset, ids in dealt.items():
        (project / f"{subset}-words.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    return {subset: str(project / f"{subset}-words.txt") for subset in dealt}


def _experiment(contender: str, name: str, about: Mapping[str, Any], minutes: float) -> wh.Experiment:
    """The default sweep says nothing of space, engine and training; the others are one epoch of one
    point, which is enough to refit it.
    """
    if contender == DEFAULT:
        return wh.Experiment.model_validate({"name": name, **about, "budget": {"minutes": minutes}})
    if contender == RECIPE:
        space: dict[str, Any] = {"preset": "recipe"}
    else:
        space = {"preset": "pooled", "enqueue": [FORMER_POINT.as_dict()]}
    one = {"space": space, "training": {"epochs": 1}, "budget": {"trials": 1}}
    return wh.Experiment.model_validate(
        {"name": f"{name}-{'recipe' if contender == RECIPE else 'former'}", **about, **one}
    )


def _run(experiment: wh.Experiment, refit_minutes: float, project: Path) -> dict[str, Any]:
    sweep = wh.sweep(experiment, project=project)
    trial = None if experiment.budget.minutes else 0
    promotion = wh.promote(sweep, trial=trial, minutes=refit_minutes, project=project)
    assert promotion.examined.scores is not None, "there are test pages"
    folder = promotion.refit.folder / "test"
    with (folder / "decisions.csv").open(encoding="utf-8", newline="") as file:
        decisions = list(csv.DictReader(file))
    return {
        "trials": len(sweep.trials),
        "trial": promotion.refit.folder.name,
        "calibrated_logloss": promotion.examined.scores.log_loss,
        **json.loads((folder / "scores.json").read_text(encoding="utf-8")),
        "items": {
            row.get("page_id") or row["image_id"]: {
                "is_right": row["true"] == row["predicted"],
                "loss": -math.log(max(float(row["true_probability"]), 1e-12)),
            }
            for row in decisions
        },
    }


def _print(
    corpus: str, found: Mapping[str, Mapping[int, Mapping[str, Any]]], minutes: float, refit_minutes: float
) -> None:
    scores = next(result["scores"] for results in found.values() for result in results.values())
    levels = [level for level in ("patch", "image", "page") if f"{level}_top1" in scores]
    rows = [
        (contender, str(seed), str(result["trials"]), *(_score(result, level) for level in levels), *_losses(result))
        for contender, results in found.items()
        for seed, result in results.items()
    ]
    columns = ("network", "seed", "trials", *(f"{level} top-1" for level in levels), "image log-loss", "calibrated")
    remarks = [
        f"default space, {minutes:g} minutes a sweep; refits of at most {refit_minutes:g} minutes; sealed test "
        f"{'words' if corpus == 'dhsd' else 'pages'}, opened once for each row",
        *(
            f"{DEFAULT} less {other}: {_paired(found[DEFAULT], results)}"
            for other, results in found.items()
            if DEFAULT in found and other != DEFAULT
        ),
    ]
    print_report(f"Champions: {corpus}", columns, rows, remarks)


def _score(result: Mapping[str, Any], level: str) -> str:
    score = result["scores"][f"{level}_top1"]
    return f"{score['value']:.1%} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"


def _losses(result: Mapping[str, Any]) -> tuple[str, str]:
    score = result["scores"]["image_logloss"]
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})", f"{result['calibrated_logloss']:.3f}"


def _paired(ours: Mapping[int, Mapping[str, Any]], theirs: Mapping[int, Mapping[str, Any]]) -> str:
    """Of each page (or word) the mean log-loss over the seeds, and what most seeds decided."""
    items = list(next(iter(ours.values()))["items"])

    def mean(results: Mapping[int, Mapping[str, Any]], what: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
        return np.mean([[result["items"][item][what] for item in items] for result in results.values()], axis=0)

    decided = [(mean(results, "is_right") > 0.5).tolist() for results in (ours, theirs)]
    return _in_words(compare_paired(mean(ours, "loss"), mean(theirs, "loss"), range(len(items)), *decided))


def _in_words(test: PairedTest) -> str:
    low, high = test.logloss_interval
    return (
        f"log-loss {test.logloss_difference:+.3f} nats an item (95 % from {low:+.3f} to {high:+.3f}); right alone "
        f"{test.n_only_first}, the other alone {test.n_only_second} of {test.n_units}, McNemar p = {test.p_value:.2g}"
    )


if __name__ == "__main__":
    typer.run(main)
