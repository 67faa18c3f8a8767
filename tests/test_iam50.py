"""The experiment on IAM's 50 writers with most forms, run as a user would, on a small corpus in
IAM's exact layout.
"""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.corpora.index import natural_key
from core.handwriting.page import WrittenPage, write_page
from core.handwriting.penmanship import draw_penmanship
from core.splits.manifest import SplitManifest
from search.experiment.experiment import load_experiment
from search.ledger.ledger import read_ledger
from tests.command_line import Answer, whosehand
from tests.core.corpora.iam_corpus import Form, append_row, write_images, write_tables

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
# Forms by writer: with n = 3 the tie between 010 and 011 decides.
N_FORMS = {"000": 5, "002": 6, "010": 4, "011": 4, "500": 3}
N_LINES = 3
SMALL = (
    *("--set", "writers.top_writers.n=3"),
    *("--set", "patches.patches_per_epoch=120"),
    *("--set", "patches.per_image_at_validation=2"),
    *(
        "--set",
        "space={base: none, fixed: {filters: 4, n_blocks: 2}, dimensions: {dropout: {type: real, low: 0.1, high: 0.4}},"
        " enqueue: []}",
    ),
    *("--set", "training.epochs=1"),
    *("--set", "executor={workers: 1, threads: 1}"),
    *("--set", "budget={trials: 2}"),
)


@pytest.fixture(scope="module")
def iam_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwriting of five generated writers, with the quirks of the real download."""
    root = tmp_path_factory.mktemp("project") / "data" / "iam"
    pages = dict(_write_forms())
    forms = [form for form, _ in pages.values()]
    write_tables(root / "ascii", forms)
    write_images(root, forms, "sentence", draw=lambda image_id: _png(_line(pages, image_id)))
    write_images(root, forms, "form", draw=lambda form_id: _png(_between_print(*pages[form_id])))
    append_row(root / "ascii" / "sentences.txt", "z01-000-s00-00 0 ok 154 19 408 746 1661 89 never|scanned")
    (root / "sentences" / "a00" / "a00-001u" / "a00-001u-s00-00.png").write_bytes(b"\x89PNG torn")
    return root


@pytest.fixture
def folder(iam_root: Path) -> Path:
    """Where the command is run: data/iam lies in it, as the experiment files expect."""
    return iam_root.parents[1]


def stats(folder: Path, name: str, *more: str) -> Answer:
    answer = whosehand(folder, "data", "stats", EXPERIMENTS / name, *SMALL, *more)
    assert answer.code == 0, answer
    return answer


@pytest.mark.long
def test_stats_count_the_writers_with_most_forms_and_name_what_is_unusable(folder: Path) -> None:
    answer = stats(folder, "iam50.yaml")
    assert re.search(r"iam +data/iam", answer.out)
    assert count(answer, "train") == (3, 9)  # of 6, 5 and 4 forms, one each for validation and test
    assert count(answer, "validation") == (3, 3)
    assert count(answer, "test") == (3, 3)
    assert "z01-000-s00-00" in answer.err
    assert "a00-001u-s00-00.png" in answer.err


@pytest.mark.long
def test_among_writers_of_equally_many_forms_the_lower_id_comes_first(folder: Path, tmp_path: Path) -> None:
    answer = whosehand(folder, "data", "split", EXPERIMENTS / "iam50.yaml", *SMALL, "--out", tmp_path / "split.json")
    assert answer.code == 0, answer
    assert SplitManifest.load(tmp_path / "split.json").writer_ids == ("000", "002", "010")


@pytest.mark.long
def test_a_small_sweep_runs_to_its_end(folder: Path) -> None:
    answer = whosehand(folder, "sweep", EXPERIMENTS / "iam50.yaml", *SMALL)
    assert answer.code == 0, answer
    trials = read_ledger(folder / "mlruns" / "sweeps" / "iam50").trials
    assert [trial.result is not None for trial in trials.values()] == [True, True]


@pytest.mark.long
def test_a_sweep_of_whole_forms_ends_in_a_champion_that_names_the_writer_of_a_form(folder: Path) -> None:
    # One epoch on one small network: whether its probabilities are calibrated is not what this is
    # about.
    lenient = ("--set", "promotion={epochs: 6, gate: {max_calibration_error: 1.0}}")
    swept = whosehand(folder, "sweep", EXPERIMENTS / "iam50-forms.yaml", *SMALL, *lenient)
    assert swept.code == 0, swept
    promoted = whosehand(folder, "promote", "iam50-forms", "--accept")  # three test forms are too few to tell
    assert promoted.code == 0, promoted
    assert "champion of whosehand-iam50-forms: version 1" in promoted.out
    form = folder / "data" / "iam" / "formsA-D" / "a00-000u.png"
    answer = whosehand(folder, "identify", form, "--model", "whosehand-iam50-forms", "--json")
    assert answer.code == 0, answer
    (verdict,) = json.loads(answer.out)["images"]
    assert sorted(writer["writer_id"] for writer in verdict["ranking"]) == ["000", "002", "010"]
    assert verdict["n_lines"] == N_LINES


@pytest.mark.long
def test_whole_forms_are_read_between_their_print(folder: Path) -> None:
    answer = stats(folder, "iam50-forms.yaml")
    n_lines = int(re.findall(r"\d+", row(answer, "train"))[-1])
    assert n_lines > 0


@pytest.mark.parametrize(("name", "unit"), [("iam50.yaml", "sentence"), ("iam50-forms.yaml", "form")])
def test_both_files_say_the_published_experiment(name: str, unit: str) -> None:
    experiment = load_experiment(EXPERIMENTS / name)
    assert experiment.name == name.removesuffix(".yaml")
    assert experiment.handwriting.model_dump(mode="json") == {
        "layout": "iam",
        "root": "data/iam",
        "unit": unit,
        "segmentation": "all",
    }
    assert experiment.writers.model_dump()["top_writers"] == {"n": 50, "by": "forms", "ties": "id"}
    assert (experiment.patches.size_px, experiment.patches.fraction) == (113, 0.3)
    assert experiment.split.test > 0


def row(answer: Answer, part: str) -> str:
    """The line of the table that is about a part."""
    (found,) = [line for line in answer.out.splitlines() if re.match(rf"\W*{part}\b", line)]
    return found


def count(answer: Answer, part: str) -> tuple[int, int]:
    """Writers and pages."""
    writers, pages, *_ = map(int, re.findall(r"\d+", row(answer, part)))
    return writers, pages


def _write_forms() -> list[tuple[str, tuple[Form, WrittenPage]]]:
    written = []
    for number, (writer_id, n_forms) in enumerate(N_FORMS.items()):
        hand = draw_penmanship(np.random.default_rng([7, number]))
        for prompt in range(n_forms):  # all writers have the same prompts, and a letter each
            page = write_page(hand, N_LINES, np.random.default_rng([7, number, prompt]))
            form_id = f"a00-{prompt:03d}{'uvwxz'[number]}"
            lines = tuple((tuple(line.text.split()),) for line in page.lines)
            written.append((form_id, (Form(form_id, writer_id, lines), page)))
    return sorted(written, key=lambda entry: natural_key(entry[0]))


def _line(pages: dict[str, tuple[Form, WrittenPage]], image_id: str) -> NDArray[np.uint8]:
    """The image of the part of a sentence on one line; here each line is one part of one
    sentence.
    """
    form_id, _, part = image_id.rsplit("-", 2)
    page = pages[form_id][1]
    line = page.lines[int(part)]
    return page.pixels[line.top_px : line.top_px + line.height_px, line.left_px : line.left_px + line.width_px]


def _between_print(form: Form, page: WrittenPage) -> NDArray[np.uint8]:
    """The page between what is printed on a form: its title, rules and prompt above, a place for
    the name below.
    """
    width = page.pixels.shape[1]
    paper = int(np.median(page.pixels))
    above, below = (Image.new("L", (width, height), paper) for height in (380, 160))
    print_above, print_below = ImageDraw.Draw(above), ImageDraw.Draw(below)
    print_above.text(
        (120, 20), f"Sentence Database      {form.form_id.upper()}", font=ImageFont.load_default(40), fill=20
    )
    for top, pen in ((90, print_above), (350, print_above), (40, print_below)):
        pen.line((60, top, width - 60, top), fill=20, width=4)
    for number, (words,) in enumerate(form.lines):
        print_above.text((80, 120 + 60 * number), " ".join(words)[:70], font=ImageFont.load_default(32), fill=20)
    print_below.text((80, 80), "Name:", font=ImageFont.load_default(32), fill=20)
    return np.concatenate([np.asarray(above), page.pixels, np.asarray(below)]).astype(np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    encoded, png = cv2.imencode(".png", pixels)
    assert encoded
    return png.tobytes()
