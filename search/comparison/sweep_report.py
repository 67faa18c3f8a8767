"""All that the report of one sweep says, gathered from its ledger, its files, its best model and
its corpus.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import optuna
import yaml

from core.errors import ComparisonError, CorpusError, LineStoreError, SplitError
from core.lines.reading import ProgressCallback
from core.passwords import without_passwords
from core.retrieval.rank_tests import PairedRankings
from core.scoring.intervals import PairedTest
from core.splits.manifest import SplitManifest
from core.wording import counted
from search.comparison.leaderboard import Leaderboard, read_leaderboard
from search.comparison.mistakes import Mistakes, mistakes_of_answers, mistakes_of_tables
from search.comparison.model_answers import ask_model, patches_per_line
from search.comparison.search_figures import measure_importance
from search.comparison.trial_table import TrialRow, pair_trials
from search.engines.optuna.study import study_from_ledger
from search.experiment.objective_settings import TRAIN_PATCH_CNN
from search.experiment.workspace import Workspace
from search.ledger.access_log import count_test_accesses
from search.ledger.ledger import read_ledger
from search.ledger.ranking import Direction
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState
from search.sweep.disk import DiskUse, measure_disk
from search.sweep.finalists import (
    ChosenTrial,
    FinalistRanking,
    baseline_trial,
    choose_trial,
    finalist_folder,
    read_finalists,
)
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import SPLIT_FILE, PreparedCorpus, prepare_corpus
from search.sweep.trial_models import find_trial_model
from search.tracking.models import artifact_folder
from search.tracking.runs import find_sweep_run
from search.tracking.store import TrackingStore, locate_store

REPORT_FOLDER = "report"
_NAMES_NOBODY = "The split is by writer: the networks are judged by the pages that are found, and name nobody."


@dataclass(frozen=True)
class Origin:
    """How sweep and report were made.

    Attributes:
        command: that made the report.
        sweep_command: that makes the sweep, given its experiment as a file.
        experiment_yaml: the whole experiment, defaults written out.
        version: of whosehand, when the sweep was begun.
        git_commit: likewise; empty outside a repository.
        sweep_id: of the sweep.
        created: when it was begun, UTC.
        last: its last event, UTC.
        written: when the report was, UTC.
        machine: where the sweep was last launched: host, workers, threads, precision.
        python: of the report.
    """

    command: str
    sweep_command: str
    experiment_yaml: str
    version: str
    git_commit: str
    sweep_id: str
    created: str
    last: str
    written: str
    machine: str
    python: str


@dataclass(frozen=True, eq=False)
class SweepReport:
    """What a sweep found.

    Attributes:
        sweep: as its ledger has it.
        status: where it stands, in words.
        warnings: what everyone must know first.
        leaderboard: all trials, the best first.
        finalists: `None` if there are none.
        finalist_costs: epochs, patches and seconds of each repeat.
        chosen: the trial that a promotion would take, and why; `None` without a completed trial.
        baseline: the completed trial of the seed recipe.
        paired: the chosen trial against the seed recipe on the same pages; `None` if it is that.
        study: the ledger as Optuna has it.
        importance: shares of the hyperparameters that vary, as far as they can be measured, the
            most important first.
        mistakes: of the chosen trial's model; `None` if nothing is known of them.
        mistakes_gap: why mistakes, or parts of them, are missing; empty if all is there.
        corpus: `None` if it cannot be read any more.
        manifest: of the split; `None` for a sweep that has not begun.
        n_openings: how often its test pages have been opened so far.
        disk: what the sweep takes of it, in words.
        origin: how all this was made.
    """

    sweep: KnownSweep
    status: str
    warnings: tuple[str, ...]
    leaderboard: Leaderboard
    finalists: FinalistRanking | None
    finalist_costs: tuple[tuple[int, int, float], ...]
    chosen: ChosenTrial | None
    baseline: TrialRecord | None
    paired: PairedTest | PairedRankings | None
    study: optuna.Study
    importance: Mapping[str, float]
    mistakes: Mistakes | None
    mistakes_gap: str
    corpus: PreparedCorpus | None
    manifest: SplitManifest | None
    n_openings: int
    disk: str
    origin: Origin

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.sweep.created.name

    @property
    def metric(self) -> str:
        """The objective's."""
        return self.sweep.experiment.objective.metric

    @property
    def direction(self) -> Direction:
        """Whether low or high values are better."""
        return self.sweep.experiment.objective.resolved_direction

    @property
    def item(self) -> str:
        """What is decided at the highest level; where pages are searched, whose they are."""
        if self.manifest is None:
            return "image"
        return "writer" if self.manifest.has_unseen_writers else self.manifest.unit

    @property
    def rows(self) -> tuple[TrialRow, ...]:
        """All trials, the best first."""
        return self.leaderboard.rows

    def __repr__(self) -> str:
        """What Python's prompt shows; all that is in it would be pages."""
        return f"Report of the sweep {self.sweep.created.name} ({self.status})"

    def _repr_html_(self) -> str:
        """What a notebook shows: warnings, leaderboard, and who is taken for whom."""
        said = "".join(
            f"<p>{escape(text)}</p>" for text in (f"{self.sweep.created.name}: {self.status}", *self.warnings)
        )
        mistakes = self.mistakes._repr_html_() if self.mistakes else ""
        return f"{said}{self.leaderboard._repr_html_()}{mistakes}"

    def row(self, number: int) -> TrialRow:
        """The row of a trial."""
        return next(row for row in self.rows if row.number == number)


def read_report(
    name: str,
    workspace: Workspace,
    command: str,
    store: TrackingStore | None = None,
    on_progress: ProgressCallback | None = None,
) -> SweepReport:
    """Gather what is known of a sweep; it may be running, and nothing of it is changed.

    The chosen trial's model is asked about the validation pages in a worker, once; its answers are
    kept in the sweep's folder. Test pages are not looked at.

    Args:
        name: of a sweep in this workspace.
        workspace: where.
        command: that asks for the report.
        store: where the sweep is tracked; `None` to do without.
        on_progress: called with (images done, images in all) while the line store is built.

    Raises:
        LedgerError: if there is no such sweep.
    """
    sweep = read_sweep(name, workspace)
    manifest, corpus, corpus_gap = _read_data(sweep, workspace, on_progress)
    chosen, baseline = choose_trial(sweep), baseline_trial(sweep)
    mistakes, gap = _find_mistakes(sweep, chosen, corpus, corpus_gap, manifest, store)
    finalists = read_finalists(sweep)
    study = _study_of(sweep)
    importance = measure_importance(study)
    return SweepReport(
        sweep=sweep,
        status=_status(sweep)[0],
        warnings=_warnings(sweep, store, manifest, corpus, corpus_gap),
        leaderboard=read_leaderboard(sweep, importance=list(importance)),
        finalists=finalists,
        finalist_costs=_finalist_costs(sweep, finalists),
        chosen=chosen,
        baseline=baseline,
        paired=pair_trials(chosen.trial, baseline) if chosen and baseline else None,
        study=study,
        importance=importance,
        mistakes=mistakes,
        mistakes_gap=gap,
        corpus=corpus,
        manifest=manifest,
        n_openings=count_test_accesses(workspace.access_log, manifest.test_hash) if manifest else 0,
        disk=str(disk_use(sweep, workspace)),
        origin=_origin(sweep, command),
    )


def _study_of(sweep: KnownSweep) -> optuna.Study:
    objective, space = sweep.experiment.objective, sweep.experiment.space.search_space()
    return study_from_ledger(sweep.state, space, objective.metric, objective.resolved_direction)


def _warnings(
    sweep: KnownSweep,
    store: TrackingStore | None,
    manifest: SplitManifest | None,
    corpus: PreparedCorpus | None,
    corpus_gap: str,
) -> tuple[str, ...]:
    """What everyone must know first, such as that the split leaks."""
    status, is_unfinished = _status(sweep)
    found = [
        (manifest.warning if manifest else "") or _tagged_warning(sweep, store),
        f"This sweep is not finished: {status}. What follows is what it has so far." if is_unfinished else "",
        *_data_warnings(manifest, corpus, corpus_gap),
        *_trial_warnings(sweep),
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def _read_data(
    sweep: KnownSweep, workspace: Workspace, on_progress: ProgressCallback | None
) -> tuple[SplitManifest | None, PreparedCorpus | None, str]:
    """Manifest and corpus of a sweep; where the corpus is not to be had any more, why."""
    if sweep.experiment.corpus is None:
        return None, None, ""
    path = sweep.folder / SPLIT_FILE
    manifest = SplitManifest.load(path) if path.exists() else None
    if manifest is None:
        return None, None, "The sweep has no split yet."
    try:
        corpus = prepare_corpus(sweep.experiment, workspace, on_progress)
    except (CorpusError, SplitError, LineStoreError, OSError) as error:
        return manifest, None, f"The corpus cannot be read any more: {error}"
    if corpus.manifest.hash != manifest.hash:
        return manifest, None, "The corpus has changed since the sweep was begun, so that its pages are not shown."
    return manifest, corpus, ""


def _find_mistakes(
    sweep: KnownSweep,
    chosen: ChosenTrial | None,
    corpus: PreparedCorpus | None,
    corpus_gap: str,
    manifest: SplitManifest | None,
    store: TrackingStore | None,
) -> tuple[Mistakes | None, str]:
    """The chosen model's mistakes, and what of them cannot be told and why."""
    if chosen is None:
        return None, "No trial is completed yet."
    if manifest is not None and manifest.has_unseen_writers:
        return None, _NAMES_NOBODY
    item = "image" if manifest is None else manifest.unit
    is_patch_cnn = sweep.experiment.objective.run == TRAIN_PATCH_CNN
    model = find_trial_model(sweep, chosen.trial, store) if is_patch_cnn else None
    gap = corpus_gap or f"The model of trial {chosen.trial.number} was not kept (`tracking.keep_models`)."
    if not is_patch_cnn:
        gap = f"Models of {sweep.experiment.objective.run} cannot be asked about patches."
    elif model is not None and corpus is not None:
        try:
            answers = ask_model(sweep, chosen.trial, model, corpus, sweep.folder / REPORT_FOLDER)
            return mistakes_of_answers(answers, corpus, patches_per_line(corpus)), ""
        except ComparisonError as error:
            gap = str(error)
    found = mistakes_of_tables(chosen.trial, item)
    if found is None:
        return None, f"{gap} The trial left no tables of its decisions either."
    return found, f"{gap} What follows is from the tables that the trial left; patches cannot be shown."


def _status(sweep: KnownSweep) -> tuple[str, bool]:
    """In words, and whether more may come."""
    state = sweep.state
    if state.closed is None:
        return "it is running, or its driver was killed", True
    n_open = sum(not trial.state.is_final for trial in state.trials.values())
    if state.closed.status == "completed":
        return f"finished: {state.closed.reason}", False
    return f"{state.closed.status}: {state.closed.reason}" + (
        f"; {counted(n_open, 'trial')} can go on" if n_open else ""
    ), True


def _data_warnings(manifest: SplitManifest | None, corpus: PreparedCorpus | None, gap: str) -> list[str]:
    warnings = [gap] if gap else []
    if manifest is not None and manifest.unit == "image" and not manifest.has_unseen_writers:
        warnings.append(
            "This corpus has no pages: the split is by image, and images that were written together may lie in "
            "different parts. Scores on new pages by these writers will be lower."
        )
    if corpus is not None and corpus.index.generated:
        warnings.append("The handwriting is generated: scores on it say nothing about real hands.")
    if corpus is not None and corpus.shortcomings:
        warnings.append(f"Not all of the corpus is used: {corpus.shortcomings}; `whosehand data stats` lists them.")
    return warnings


def _trial_warnings(sweep: KnownSweep) -> list[str]:
    warnings = []
    failed = [trial for trial in sweep.state.trials.values() if trial.state is TrialState.FAILED]
    if failed:
        reason = failed[0].reason or "no reason is known"
        warnings.append(
            f"{len(failed)} of {len(sweep.state.trials)} trials failed; the first, {failed[0].number:03d}: {reason}"
        )
    n_lost = sum(trial.n_lost for trial in sweep.state.trials.values())
    if n_lost:
        warnings.append(
            f"Workers were lost {counted(n_lost, 'time')} (killed, or out of memory); their trials were started again."
        )
    return warnings


def _tagged_warning(sweep: KnownSweep, store: TrackingStore | None) -> str:
    """What the sweep's run in MLflow warns of, such as a split that leaks."""
    if store is None:
        return ""
    run = find_sweep_run(store, sweep.created.name, sweep.created.sweep_id)
    return "" if run is None else str(run.data.tags.get("warning", ""))


def _finalist_costs(sweep: KnownSweep, ranking: FinalistRanking | None) -> tuple[tuple[int, int, float], ...]:
    numbers = [finalist.trial for finalist in ranking.finalists] if ranking else []
    repeats = [
        repeat for number in numbers for repeat in read_ledger(finalist_folder(sweep.folder, number)).trials.values()
    ]
    return tuple((repeat.n_epochs, repeat.n_patches, repeat.duration_s) for repeat in repeats)


def _origin(sweep: KnownSweep, command: str) -> Origin:
    created, launches = sweep.created, sweep.state.launches
    machine = ""
    if launches:
        last = launches[-1]
        machine = f"{last.n_workers} workers of {last.threads} threads, {last.precision}, on {last.host}"
        machine += f"; {len(launches)} launches" if len(launches) > 1 else ""
    return Origin(
        command=command,
        sweep_command=f"whosehand sweep {created.name}.yaml",
        # A ledger of version 0.1 may hold a password.
        experiment_yaml=without_passwords(yaml.safe_dump(dict(created.config), sort_keys=False, allow_unicode=True)),
        version=created.version,
        git_commit=created.git_commit,
        sweep_id=created.sweep_id,
        created=_utc(created.at_ms),
        last=_utc(sweep.state.last_ms),
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine,
        python=f"Python {platform.python_version()}",
    )


def _utc(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"


def report_folder(sweep_folder: Path) -> Path:
    """Where a sweep's report and the answers behind it are kept."""
    return sweep_folder / REPORT_FOLDER


def disk_use(sweep: KnownSweep, workspace: Workspace) -> DiskUse:
    """Measure a sweep's folder and, where MLflow keeps its files on this machine, those too.

    Args:
        sweep: running or not.
        workspace: where its records are.
    """
    store = locate_store(sweep.experiment.tracking, workspace.root)
    return measure_disk(sweep.folder, artifact_folder(store, sweep.experiment.name))
