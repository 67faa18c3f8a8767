"""A race in real time: what a user writes with Optuna and with KerasTuner against whosehand.

    python -m benchmarks.peers.race [EXPERIMENT] [--set corpus.root=/path/to/DHSD] [--minutes 12] [--seeds 1,2,3]

Four sides take turns, each for the same time, killed at its end as by Ctrl-C: Optuna and KerasTuner
with MLflow's autologging (`with_optuna.py`, `with_keras_tuner.py`), whosehand in the same space,
and whosehand in its default space. A side's clock runs from the start of its command; pages were
read before, once for all, which is printed. The peers have their patches as arrays in memory, those
of validation are the same for all, and an epoch has equally many. What a run left is kept in
`build/race-peers`: the same command goes on after it was stopped, and prints all. `make
race-peers` runs it; nothing else should run meanwhile.
"""  # noqa: W505

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.peers import EPOCHS_LOG
from benchmarks.report import notes, print_report
from core.patches.plan import PatchPlan, PatchSampler, evaluation_plan, read_patches
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.space_settings import SpaceSettings
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from search.sweep.preparation import PreparedCorpus, prepare_corpus

FOLDER = Path("build/race-peers")
OWN_EXPERIMENT = Path(__file__).with_name("race.yaml")
SIDES = ("optuna", "keras_tuner", "whosehand, same space", "whosehand")
PEERS = SIDES[:2]
LOSS, TOP1 = "val/patch_logloss", "val/patch_top1"
_MOST_PATCHES, _PATIENCE_S = 60_000, 60.0


@dataclass(frozen=True)
class Step:
    """One epoch of a side: seconds from the start of its command, and what validation gave."""

    at_s: float
    trial: str
    loss: float
    top1: float


@dataclass(frozen=True)
class Run:
    """What a side did in its time.

    Attributes:
        steps: its epochs, in the order in which they ended.
        steps_s: seconds of training steps, of all workers together.
        n_workers: that trained at once.
    """

    steps: tuple[Step, ...]
    steps_s: float
    n_workers: int

    def best_at(self, score: str) -> tuple[float, float]:
        """The best `loss` or `top1`, and when it was reached; (nan, inf) without an epoch."""
        if not self.steps:
            return float("nan"), float("inf")
        best = min(self.steps, key=lambda step: (step.loss if score == "loss" else -step.top1, step.at_s))
        return (best.loss if score == "loss" else best.top1), best.at_s

    def time_to(self, score: str, value: float) -> float:
        """Seconds until so good a `loss` or `top1` was reached; infinite if it was not."""

        def is_there(step: Step) -> bool:
            return step.loss <= value if score == "loss" else step.top1 >= value

        return next((step.at_s for step in self.steps if is_there(step)), float("inf"))


def main(
    experiment: Annotated[Path, typer.Argument(help="Space, corpus, patches and epochs.")] = OWN_EXPERIMENT,
    changes: Annotated[list[str], typer.Option("--set", help="A key of the experiment.")] = [],  # noqa: B006
    minutes: Annotated[float, typer.Option(min=0.1, help="Of each run.")] = 12.0,
    seeds: Annotated[str, typer.Option(help="With commas.")] = "1,2,3",
    sides: Annotated[str, typer.Option(help="With semicolons.")] = ";".join(SIDES),
) -> None:
    """Race, and print who got how far when."""
    chosen = load_experiment(experiment, changes)
    folder = FOLDER / f"{chosen.name}-{minutes:g}-minutes"
    folder.mkdir(parents=True, exist_ok=True)
    read_s = prepare(chosen, folder)
    numbers, names = [int(seed) for seed in seeds.split(",")], sides.split(";")
    runs: dict[tuple[str, int], Run] = {}
    for seed in numbers:
        for side in names:
            notes.print(f"race-peers: {side}, seed {seed} ...")
            runs[side, seed] = run_once(side, seed, folder, 60 * minutes)
    print_report(
        f"Race against peers: {chosen.name}", *_rows(runs, numbers, names, 60 * minutes), _remarks(read_s, minutes)
    )
    draw(runs, folder / "race.png")
    print(folder / "race.png")


def prepare(experiment: Experiment, folder: Path) -> float:
    """Read the pages, cut the peers' patches, and write the experiments; once.

    Returns:
        Seconds of reading pages, as they were when it was done.
    """
    kept = folder / "prepared.json"
    if kept.exists():
        return float(json.loads(kept.read_text(encoding="utf-8"))["read_s"])
    began_s = time.monotonic()
    corpus = prepare_corpus(experiment, Workspace(Path.cwd()))
    read_s = time.monotonic() - began_s
    arrays = _arrays(experiment, corpus)
    np.savez(folder / "patches.npz", allow_pickle=False, **arrays)
    own = experiment.model_copy(update={"space": SpaceSettings()})
    for name, side in (("experiment", experiment), ("default_space", own)):
        side.to_yaml(folder / f"{name}.yaml")
    kept.write_text(json.dumps({"read_s": read_s}), encoding="utf-8")
    return read_s


def _arrays(
    experiment: Experiment, corpus: PreparedCorpus
) -> Mapping[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
    manifest, patches, writer_ids = corpus.manifest, experiment.patches, corpus.manifest.writer_ids
    sampler = PatchSampler(corpus.store, manifest.train, writer_ids, patches, experiment.seed, manifest.leak("train"))
    n_epochs = max(1, min(experiment.training.epochs, _MOST_PATCHES // sampler.n_patches_per_epoch))
    plans = [sampler.plan_epoch(epoch) for epoch in range(n_epochs)]
    per_image, leak = patches.of_validation_image(len(manifest.validation)), manifest.leak("validation")
    plan = evaluation_plan(corpus.store, manifest.validation, writer_ids, patches, per_image, leak)

    def cut(plan: PatchPlan) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
        return read_patches(corpus.store, plan)[..., np.newaxis]

    return {
        "x": np.concatenate([cut(plan) for plan in plans]),
        "y": np.concatenate([plan.labels for plan in plans]),
        "validation_x": cut(plan),
        "validation_y": plan.labels,
    }


def run_once(side: str, seed: int, folder: Path, seconds: float) -> Run:
    """Let a side run for its time, or read what it left the last time."""
    place = folder / f"{side.replace(', ', '-').replace(' ', '-')}-s{seed}"
    kept = place / "run.json"
    if not kept.exists():
        place.mkdir(parents=True, exist_ok=True)
        name = f"{folder.name}-{place.name}"
        began_s = _let_run(_command(side, seed, folder.resolve(), name), _place_of(side, place), seconds, place)
        run = _read_own(name, began_s, seconds) if side not in PEERS else _read_log(place, began_s, seconds)
        kept.write_text(json.dumps(asdict(run)), encoding="utf-8")
    plain = json.loads(kept.read_text(encoding="utf-8"))
    return Run(tuple(Step(**step) for step in plain["steps"]), plain["steps_s"], plain["n_workers"])


def _command(side: str, seed: int, folder: Path, name: str) -> list[str]:
    if side in PEERS:
        return [sys.executable, "-m", f"benchmarks.peers.with_{side}", str(folder), str(seed)]
    file = folder / ("experiment.yaml" if side == SIDES[2] else "default_space.yaml")
    changes = {"name": name, "seed": seed}
    texts = [text for key, value in changes.items() for text in ("--set", f"{key}={value}")]
    return [str(Path(sys.executable).with_name("whosehand")), "sweep", str(file), *texts]


def _place_of(side: str, place: Path) -> Path:
    return place if side in PEERS else Path.cwd()


def _let_run(command: Sequence[str], cwd: Path, seconds: float, place: Path) -> float:
    """Run a command for some seconds; give the Unix time at which it began."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (place / "out.log").open("wb") as log:
        began_s = time.time()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise SystemExit(
                f"{' '.join(command)} ended before its time, with code {process.returncode}; see {log.name}"
            )
        finally:
            _end(process)
    return began_s


def _end(process: "subprocess.Popen[bytes]") -> None:
    """As two times Ctrl-C, then for good."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(_PATIENCE_S / 2 if number == signal.SIGINT else _PATIENCE_S)
            except subprocess.TimeoutExpired:
                continue


def _read_log(place: Path, began_s: float, seconds: float) -> Run:
    path = place / EPOCHS_LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    epochs = [line for line in map(json.loads, lines) if line["at_s"] - began_s <= seconds]
    steps = [Step(line["at_s"] - began_s, line["trial"], line["val_loss"], line["val_accuracy"]) for line in epochs]
    return Run(tuple(steps), sum(line["steps_s"] for line in epochs), 1)


def _read_own(name: str, began_s: float, seconds: float) -> Run:
    folder = Workspace(Path.cwd()).sweep(name)
    if not (folder / LEDGER_NAME).exists():  # it was killed before it began
        return Run((), 0.0, 1)
    state = read_ledger(folder)
    reports = [event for trial in state.trials.values() for event in trial.reports]
    in_time = sorted(
        (event for event in reports if event.at_ms / 1000 - began_s <= seconds), key=lambda event: event.at_ms
    )
    steps = [
        Step(event.at_ms / 1000 - began_s, str(event.number), event.report.metrics[LOSS], event.report.metrics[TOP1])
        for event in in_time
    ]
    return Run(tuple(steps), sum(event.report.seconds.get("steps", 0.0) for event in in_time), _workers_of(state))


def _workers_of(state: SweepState) -> int:
    return state.launches[-1].n_workers if state.launches else 1


def _rows(
    runs: Mapping[tuple[str, int], Run], seeds: Sequence[int], sides: Sequence[str], seconds: float
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    peers = [peer for peer in PEERS if peer in sides]
    columns = (
        "side",
        "seed",
        "log-loss",
        "at, s",
        "top-1",
        "at, s",
        *(f"{peer}'s best {name} at, s" for peer in peers for name in ("log-loss", "top-1")),
    )
    rows = []
    for side in sides:
        for seed in seeds:
            run = runs[side, seed]
            (loss, loss_s), (top1, top1_s) = run.best_at("loss"), run.best_at("top1")
            reached = [
                _seconds(run.time_to(score, runs[peer, seed].best_at(score)[0]))
                for peer in peers
                for score in ("loss", "top1")
            ]
            cells = (f"{loss:.3f}", _seconds(loss_s), f"{100 * top1:.1f} %", _seconds(top1_s), *reached)
            trials = len({step.trial for step in run.steps})
            share = run.steps_s / (seconds * run.n_workers)
            rows.append((side, str(seed), *cells, f"{100 * share:.0f} %", f"{trials}, {len(run.steps)}"))
    return (*columns, "time in steps", "trials, epochs"), rows


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if np.isfinite(seconds) else "never"


def _remarks(read_s: float, minutes: float) -> list[str]:
    return [
        f"{minutes:g} minutes each from the start of the command; reading the pages, {read_s:.0f} s, came before",
        "log-loss and top-1 of the same validation patches, the best epoch so far; an epoch that ended after the time "
        "does not count",
    ]


def draw(runs: Mapping[tuple[str, int], Run], path: Path) -> None:
    """Draw the best log-loss so far over time, a line for each run."""
    from matplotlib.figure import Figure  # only here: half a second
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (side, seed), run in runs.items():
        if run.steps:
            best = np.minimum.accumulate([step.loss for step in run.steps])
            first = seed == min(other for name, other in runs if name == side)
            axes.step(
                [step.at_s for step in run.steps],
                best,
                where="post",
                color=f"C{SIDES.index(side)}",
                label=side if first else None,
            )
    axes.set(xlabel="seconds from the start of the command", ylabel="best log-loss of validation patches", yscale="log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(ScalarFormatter())
    if axes.lines:  # else nobody had an epoch in time
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
