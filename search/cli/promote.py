"""`whosehand promote`: the best trial becomes a registered model, and the champion if it passes the
gate.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import RegistryError
from core.scoring.score_names import LEVELS, RETRIEVAL, SCORES
from search.cli.common import (
    StoreOption,
    complete_sweeps,
    current_workspace,
    labelled,
    notes,
    output,
    print_table,
    progress_bar,
)
from search.cli.enrol import carry_over_to
from search.experiment.settings import RefitPages

if TYPE_CHECKING:
    from search.promotion.outcome import Promotion
    from search.promotion.plan import PromotionChoice
    from search.tracking.store import TrackingStore

NOT_PASSED = 2
"""Exit code of a promotion whose model did not pass the gate."""


def promote(
    sweep: Annotated[
        str | None,
        typer.Argument(metavar="[SWEEP]", help="The sweep's name.", show_default=False, autocompletion=complete_sweeps),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="Promote this trial.", show_default="the best finalist, or the best trial")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name in the registry.", show_default="the experiment's, or whosehand-SWEEP")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length of the refit.", show_default="the experiment's")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Longest refit in minutes; it ends earlier if more pays no more.", show_default=False
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(min=1, max=9, help="Refits that answer together as one model.", show_default="the experiment's"),
    ] = None,
    refit: Annotated[
        RefitPages | None,
        typer.Option(
            help="Pages it trains on: train, or all_but_test (validation pages too; three cross-fits more).",
            show_default="the experiment's",
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Make it champion where too few test pages can tell if it only guesses.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; train, open and register nothing.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="List what was promoted, refused and rolled back, and why.")
    ] = False,
    uri: Annotated[str | None, typer.Option(help="Tracking store for --history.", show_default="the project's")] = None,
) -> None:
    """Refit the best trial, test it on sealed pages; champion if it passes the gate.

    The gate: the registered model answers as before when loaded afresh, meets the thresholds of
    `promotion.gate`, is better than guessing, and better than the present champion on pages that
    neither has seen. Otherwise it is registered as challenger, with the reasons (exit code 2).
    Every access to the test pages is counted: a score is worth less each time.
    """
    from search.promotion.plan import PromotionChoice

    if history:
        _print_history(*_find_model(sweep, model, uri))
        return
    if uri is not None:
        raise RegistryError("A sweep is promoted in its own tracking store, so that --uri goes with --history only.")
    if epochs is not None and minutes is not None:
        raise RegistryError("A refit has one length: give --epochs or --minutes.")
    if sweep is None:
        raise RegistryError("Which sweep? `whosehand promote SWEEP`, or `whosehand promote --history --model NAME`.")
    choice = PromotionChoice(trial, model, epochs, minutes, accept, members, refit)
    (_print_plan if dry_run else promote_best)(sweep, choice)


def rollback(
    model: Annotated[
        str | None, typer.Option(help="Name in the registry.", show_default="the only one registered")
    ] = None,
    uri: StoreOption = None,
) -> None:
    """Make the former champion the champion again; the two change places."""
    from search.tracking.aliases import restore_previous

    store, name = _find_model(None, model, uri)
    now, former = restore_previous(store, name)
    output.print(
        f"champion of {name}: version {now.version} again"
        + (f" (before: version {former.version}, now `previous`)" if former else "")
    )
    carry_over_to(store, name)


def _print_plan(sweep: str, choice: "PromotionChoice") -> None:
    from search.promotion.plan import plan_promotion, prepare_promotion

    with progress_bar("reading text lines") as advance:
        job = prepare_promotion(sweep, current_workspace(), choice, advance)
    for line in plan_promotion(job):
        output.print(line)


def promote_best(sweep: str, choice: "PromotionChoice") -> None:
    """Promote a trial of a sweep, and print what came of it.

    Raises:
        typer.Exit: with `NOT_PASSED` if the gate refused it.
    """
    from search.promotion.promote import promote as promote_sweep
    from search.sweep.progress import make_progress

    promotion = promote_sweep(sweep, current_workspace(), choice, make_progress(notes))
    _print_promotion(promotion)
    if promotion.became == "challenger":
        raise typer.Exit(NOT_PASSED)
    carry_over_to(_find_model(sweep, None, None)[0], promotion.version.name)


def _find_model(sweep: str | None, model: str | None, uri: str | None) -> "tuple[TrackingStore, str]":
    """The store and the registered name that are meant: the sweep's own ones, or the only name in
    the store.
    """
    from search.sweep.known_sweeps import project_tracking, read_sweep
    from search.tracking.registry import only_name
    from search.tracking.store import open_store

    workspace = current_workspace()
    experiment = read_sweep(sweep, workspace).experiment if sweep is not None else None
    settings = experiment.tracking if experiment and uri is None else project_tracking(workspace, uri)
    store = open_store(settings, workspace.root)
    return store, model or (experiment.model_name if experiment else only_name(store))


def _print_history(store: "TrackingStore", name: str) -> None:
    from search.tracking.aliases import history

    rows = []
    reasons: dict[int, str] = {}
    for entry in history(store, name):
        tags = dict(entry.version_tags)
        if entry.event == "challenger":
            reasons[entry.version] = tags.get("gate_reasons", "")
        sweep = f"{tags.get('sweep', '')} trial {tags.get('trial', '')}"
        rows.append((entry.at[:16].replace("T", " "), str(entry.version), entry.event, sweep))
    print_table(("when (UTC)", "version", "became", "sweep"), rows, n_text_columns=4)
    for number, reason in reasons.items():
        output.print(f"version {number} became challenger: {reason}")


def _print_promotion(promotion: "Promotion") -> None:
    version = promotion.version
    if promotion.became == "challenger":
        told = f"of {version.name}: version {version.version}; not champion:"
        output.print(labelled("challenger", told, "bold yellow"))
        for reason in promotion.gate_result.objections:
            output.print(f"  - {reason}")
        if promotion.gate_result.undecided and not promotion.gate_result.reasons:
            output.print("`--accept` makes it champion all the same, and its card says so")
    else:
        former = f" (before: version {promotion.former.version}, now `previous`)" if promotion.former else ""
        output.print(f"champion of {version.name}: version {version.version}{former}")
        if promotion.gate_result.is_accepted:
            output.print("accepted by hand (--accept), although there are")
            output.print(f"  - {promotion.gate_result.undecided}")
    _print_scores(promotion)
    rates = promotion.examined.scores.unknown_writers if promotion.examined.scores else None
    if rates is not None:
        output.print(f"known writers called unknown (false rejects): {rates.false_reject_rate:.1%} of {rates.n_known}")
        output.print(f"unknown writers named (false accepts): {rates.false_accept_rate:.1%} of {rates.n_unknown}")
        if not rates.is_used:
            output.print("  - so that no image is called unknown: see promotion.gate.max_false_reject_rate")
    if promotion.became != "unchanged" and promotion.gate_result.remarks:
        output.print("checks passed:" if promotion.gate_result.objections else "it passed the gate:")
        for remark in promotion.gate_result.remarks:
            output.print(f"  - {remark}")


def _print_scores(promotion: "Promotion") -> None:
    scores = promotion.scores
    if scores is None:
        output.print("There is no score on unseen pages: the split has no test pages, or they were not opened.")
        return
    kept = json.loads(scores.result.artifacts["test/scores.json"].path.read_text(encoding="utf-8"))
    levels = [level for level in (*LEVELS, RETRIEVAL) if f"{level}_top1" in kept["scores"]]
    unit = "test pages" if levels == [RETRIEVAL] else f"test {levels[-1]}s"
    rows = [(name, *(_cell(name, kept["scores"].get(f"{level}_{name}")) for level in levels)) for name in SCORES]
    print_table((unit, *levels), [row for row in rows if any(row[1:])])
    output.print(f"in brackets: {kept['interval']}")
    times = "once" if promotion.n_openings == 1 else f"{promotion.n_openings} times"
    again = ", not again for this fit" if promotion.was_opened_before else ""
    output.print(f"these {unit} had been opened {times} by then{again}")


def _cell(name: str, score: dict[str, float] | None) -> str:
    if score is None:
        return ""
    value, low, high = score["value"], score["low"], score["high"]
    if not SCORES[name].is_share:
        return f"{value:.3f} ({low:.3f}-{high:.3f})"
    return f"{value:.1%} ({100 * low:.1f}-{100 * high:.1f})"
