"""The report of one sweep: what each section says is what the sweep did, and the page needs nothing
beside it.
"""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import ComparisonError
from core.lines.store import LineStore
from core.patches.plan import read_patches
from core.scoring.answers import PatchAnswers
from core.splits.manifest import SplitManifest
from search.comparison.mistakes import mistakes_of_answers, mistakes_of_tables
from search.comparison.model_answers import ask_model, patches_per_line
from search.comparison.report_page import REPORT_FILE, render_report
from search.comparison.sweep_report import REPORT_FOLDER, SweepReport, read_report
from search.comparison.trial_table import read_rows
from search.experiment.workspace import Workspace
from search.ledger.time_use import PARTS, UNDIVIDED, read_time_use
from search.ledger.trial import TrialState
from search.sweep.finalists import read_finalists
from search.sweep.known_sweeps import read_sweep
from search.sweep.trial_models import find_trial_model
from search.tracking.runs import find_sweep_run
from search.tracking.store import open_store
from tests.command_line import Project, records_of

pytest_plugins = ["tests.search.comparison.reported_project"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def report(reported_project: Project) -> SweepReport:
    """From what the commands kept: no worker is started for it."""
    assert reported_project.answers["finalists"].code == 0, reported_project.answers["finalists"].err
    with records_of(reported_project.folder):
        workspace = Workspace(reported_project.folder)
        return read_report("tiny", workspace, "whosehand compare tiny", open_store(root=reported_project.folder))


@pytest.fixture(scope="module")
def page(report: SweepReport) -> str:
    return render_report(report)


class Sections(HTMLParser):
    """The text of each section by its id, and every address that the page names."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.texts, self.addresses, self.open_tags = "", {"": ""}, list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[key]) for key in ("src", "href", "srcset", "data") if key in found]
        if tag == "section":
            self.now = str(found["id"])
            self.texts[self.now] = ""
        if tag not in ("meta", "img", "br", "wbr"):
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag, f"</{tag}> closes nothing"
        self.texts[self.now] += " " if tag in ("td", "th", "p") else ""

    def handle_data(self, data: str) -> None:
        self.texts[self.now] += data


def sections_of(page: str) -> dict[str, str]:
    parser = Sections()
    parser.feed(page)
    assert parser.open_tags == []
    return {name: " ".join(text.split()) for name, text in parser.texts.items()}


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    parser = Sections()
    parser.feed(page)
    assert parser.addresses
    assert [a[:60] for a in parser.addresses if not a.startswith(("data:image/", "#"))] == []
    assert "<script" not in page
    assert re.findall(r"@import|url\(", page) == []
    anchors = {address[1:] for address in parser.addresses if address.startswith("#")}
    assert anchors == set(sections_of(page)) - {""}
    for source in parser.addresses:
        if source.startswith("data:image/svg"):
            drawn = base64.b64decode(source.split(",", 1)[1]).decode()
            assert re.findall(r'(?:href|src)="(?!#|data:)', drawn) == []


def test_the_leaderboard_has_score_interval_cost_size_and_speed(report: SweepReport, page: str) -> None:
    rows = [row for row in report.rows if row.place is not None]
    values = [row.score.value for row in rows if row.score]
    assert values == sorted(values)
    text = sections_of(page)["leaderboard"]
    for row in rows:
        assert row.score is not None
        assert row.score.low is not None
        assert row.score.high is not None
        assert row.score.low <= row.score.value <= row.score.high
        assert row.patches_per_s is not None
        assert row.n_weights > 0
        for said in (f"{row.score.value:.4g}", f"{row.score.low:.3g} to", f"{row.n_patches:,}", f"{row.n_weights:,}"):
            assert said in text
    assert sum(row.model_bytes is not None for row in rows) >= 1


def test_the_command_prints_the_leaderboard(reported_project: Project, report: SweepReport) -> None:
    out = reported_project.answers["finalists"].out
    best = next(row for row in report.rows if row.place == 1)
    assert best.score is not None
    assert f"{best.score.value:.4g}" in out
    assert "a promotion takes trial" in out
    assert "fresh fits of the same point gave" in out
    assert "worker time: " in out


def test_the_finalists_section_says_how_flattered_the_search_was(report: SweepReport, page: str) -> None:
    ranking = read_finalists(report.sweep)
    assert ranking is not None
    favourite = ranking.favourite
    flattery = ranking.flattery(favourite)
    assert flattery is not None
    assert favourite.spread is not None
    assert favourite.search_value == pytest.approx(min(row.score.value for row in report.rows if row.score))
    text = sections_of(page)["finalists"]
    assert f"Trial {favourite.trial:03d} had the best image_logloss that the search saw" in text
    assert f"by {abs(flattery.mean):.3g} (95 %" in text or f"is by {abs(flattery.mean):.3g}" in text
    for finalist in ranking.finalists:
        assert finalist.spread is not None
        assert f"{finalist.spread.mean:.4g}" in text


def test_mistakes_are_of_validation_pages_only(report: SweepReport) -> None:
    assert report.mistakes is not None
    assert report.manifest is not None
    assert report.corpus is not None
    validation = set(report.manifest.validation)
    pages = {line.group_id for line in report.corpus.store.lines if line.image_id in validation}
    assert {worst.decided.item for worst in report.mistakes.worst} <= pages
    assert int(report.mistakes.confusion.sum()) == len(validation)
    assert report.mistakes.n_items == len(pages)


def test_the_shown_patches_are_the_line_stores_own(report: SweepReport) -> None:
    assert report.mistakes is not None
    assert report.corpus is not None
    assert report.manifest is not None
    store = LineStore.open(report.corpus.store.folder)
    known = {patch.tobytes() for patch in read_patches(store, _answers(report).plan)}
    shown = [image for pair in report.mistakes.pairs for row in pair.rows for image in row.images]
    assert shown
    for image in shown:
        pixels = np.asarray(Image.open(BytesIO(base64.b64decode(image.split(",", 1)[1]))))
        assert pixels.tobytes() in known


def test_an_answer_for_a_training_page_is_refused(report: SweepReport) -> None:
    assert report.corpus is not None
    manifest = report.corpus.manifest
    swapped = replace(report.corpus, manifest=replace(manifest, train=manifest.validation, validation=manifest.train))
    with pytest.raises(ComparisonError, match="validation pages only"):
        mistakes_of_answers(_answers(report), swapped, patches_per_line(report.corpus))


def test_accuracy_goes_from_one_patch_to_the_page_and_probabilities_are_measured(report: SweepReport) -> None:
    assert report.mistakes is not None
    amounts = [amount.amount for amount in report.mistakes.amounts]
    assert amounts == ["1", "2", "4", "8", "16", "line", "page"]
    assert set(report.mistakes.reliability) == {"patch", "image", "page"}
    page = report.mistakes.reliability["page"]
    assert page.n == report.mistakes.n_items
    assert page.share_right == pytest.approx(1 - report.mistakes.n_wrong / report.mistakes.n_items)


def test_data_and_splits_are_counted(report: SweepReport, page: str, reported_project: Project) -> None:
    text, manifest = sections_of(page)["data"], SplitManifest.load(reported_project.sweep / "split.json")
    assert manifest.hash[:16] in text
    assert "train 3 6 18 18 6" in text  # writers, pages, images, lines, lines a writer
    assert "validation 3 3 9 9 3" in text
    assert "The test pages have not been opened so far" in text


def test_the_page_says_how_it_was_made_and_what_it_cost(report: SweepReport, page: str) -> None:
    sections = sections_of(page)
    assert "This report: whosehand compare tiny" in sections["origin"]
    assert report.sweep.created.sweep_id in sections["origin"]
    assert "layout: hands" in sections["origin"]
    n_patches = sum(trial.n_patches for trial in report.sweep.state.trials.values())
    assert f"{n_patches:,}" in sections["cost"]
    assert f"finalists {len(report.finalist_costs)}" in sections["cost"]
    assert "on the disk" in sections["cost"]
    for part, what in PARTS.items():
        assert (what in sections["cost"]) is (part != UNDIVIDED), part
    trials = read_time_use(report.sweep.state).trials
    assert all({"start", "steps", "validation", "checkpoint"} <= set(parts) for parts in trials.values())
    assert "No completed trial has the values of the seed recipe" in sections["seed"]


def test_warnings_stand_on_top(report: SweepReport, page: str) -> None:
    assert "The handwriting is generated" in sections_of(page)[""]
    assert "not finished" not in page
    warned = render_report(replace(report, warnings=("The split <leaks>.",)))
    assert "The split <leaks>." in sections_of(warned)[""]


def test_a_second_report_asks_the_model_no_more(reported_project: Project) -> None:
    kept = list((reported_project.sweep / REPORT_FOLDER).glob("answers-*.npz"))
    assert 1 <= len(kept) <= 2, "one for each trial that was ever chosen"
    assert not list((reported_project.sweep / REPORT_FOLDER).glob(".asking-*"))


def test_the_report_is_an_artifact_of_the_sweeps_run(reported_project: Project, report: SweepReport) -> None:
    with records_of(reported_project.folder) as client:
        found = find_sweep_run(open_store(root=reported_project.folder), "tiny", report.sweep.created.sweep_id)
        assert found is not None
        assert REPORT_FILE in {file.path for file in client.list_artifacts(found.info.run_id)}
        kept = Path(client.download_artifacts(found.info.run_id, REPORT_FILE)).read_text(encoding="utf-8")
    assert kept == (reported_project.sweep / REPORT_FOLDER / REPORT_FILE).read_text(encoding="utf-8")
    assert kept.count("<section") >= 10


def test_without_the_model_the_trials_own_tables_stand_in(report: SweepReport) -> None:
    assert report.chosen is not None
    found = mistakes_of_tables(report.chosen.trial, "page")
    assert found is not None
    assert found.amounts == ()
    assert int(found.confusion.sum()) == len(report.manifest.validation if report.manifest else ())
    page = render_report(replace(report, mistakes=found, mistakes_gap="The model was not kept."))
    sections = sections_of(page)
    assert "The model was not kept." in sections["mistakes"]
    assert "Not known: this needs the model" in sections["amount"]


def test_a_model_that_fails_leaves_a_report_with_the_reason(
    reported_project: Project, report: SweepReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> PatchAnswers:
        raise ComparisonError("The model must answer, but: it is broken")

    monkeypatch.setattr("search.comparison.sweep_report.ask_model", fail)
    found = read_report("tiny", Workspace(reported_project.folder), "a test")
    assert found.mistakes_gap.startswith("The model must answer, but: it is broken")
    assert found.mistakes is not None, "from the trial's own tables"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_trials_or_none_still_make_a_page(reported_project: Project, tmp_path: Path, n: int) -> None:
    """As the ledger was when the n-th trial had just ended."""
    lines = (reported_project.sweep / "ledger.jsonl").read_text().splitlines()
    ends = [place for place, line in enumerate(lines) if json.loads(line)["kind"] == "ended"]
    folder = tmp_path
    cut = folder / "mlruns" / "sweeps" / "tiny"
    cut.mkdir(parents=True, exist_ok=True)
    (cut / "ledger.jsonl").write_text("\n".join(lines[: ends[n - 1] + 1 if n else ends[0]]) + "\n")
    early = read_sweep("tiny", Workspace(folder))
    assert early.state.count(TrialState.COMPLETED) == n
    found = read_report("tiny", Workspace(folder), "a test")
    sections = sections_of(render_report(found))
    assert "This sweep is not finished: it is running, or its driver was killed" in sections[""]
    assert "The sweep has no split yet." in sections["data"]
    assert ("No trial is completed yet." in sections["leaderboard"]) == (n == 0)
    assert f"there are {n}" in sections["search"]
    assert len(read_rows(early)) >= n


def _answers(report: SweepReport) -> PatchAnswers:
    assert report.chosen is not None
    assert report.corpus is not None
    model = find_trial_model(report.sweep, report.chosen.trial, None)
    assert model is not None
    return ask_model(report.sweep, report.chosen.trial, model, report.corpus, report.sweep.folder / REPORT_FOLDER)


def test_a_notebook_shows_leaderboard_and_confusion(report: SweepReport) -> None:
    assert repr(report).startswith("Report of the sweep tiny (")
    html = report._repr_html_()
    assert html.startswith("<p>tiny: ")
    assert html.count("<table>") == 1
    assert '<img src="data:image/svg+xml;base64,' in html
    assert "Confusion of 3 writers" in html
