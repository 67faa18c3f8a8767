from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from core.corpora.catalogue import open_corpus
from core.corpora.writer_choice import choose_writers
from core.splits.by_page import split_pages
from search.experiment.experiment import load_experiment
from tests.command_line import Answer
from tests.file_server import file_server

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]
EXPERIMENTS = Path(__file__).parents[3] / "experiments"

MISSING = [f"german_hw_data/writer1/1_{number}.png" for number in range(12)]


@pytest.fixture
def nearly_all(dhsd_root: Path, tmp_path: Path) -> Path:
    """The data set as links to where it lies, without twelve images."""
    for line in (dhsd_root / "checksums.sha256").read_text().splitlines():
        link = tmp_path / "here" / line.split("  ")[1]
        if line.split("  ")[1] not in MISSING:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(dhsd_root / line.split("  ")[1])
    return tmp_path / "here"


def files_of(root: Path, *names: str) -> dict[str, bytes]:
    lists = ["checksums.sha256", "train.csv", "test.csv", "LICENSE", "README.md", "CITATION.cff", "DATASHEET.md"]
    return {name: (root / name).read_bytes() for name in [*lists, *names]}


def test_what_is_missing_is_counted_and_named_and_the_next_call_goes_on(
    command: Command, dhsd_root: Path, nearly_all: Path
) -> None:
    with file_server(files_of(dhsd_root, MISSING[0])) as server:
        first = command("data", "fetch", "dhsd", "--to", "here", "--from", server.address)
        server.files = files_of(dhsd_root, *MISSING)
        second = command("data", "fetch", "dhsd", "--to", "here", "--from", server.address)

    assert first.code == 1
    assert first.out.startswith("here: 5,946 files, of which 5,928 were there, 7 came (")
    assert first.out.endswith(" and 11 are missing\n")
    assert f"missing: {MISSING[1]}: the server says 404 Not Found\n" in first.err
    assert first.err.count("missing: ") == 10
    assert "... and 1 more\n" in first.err
    assert "it goes on with what is missing" in first.err

    assert (second.code, second.err.count("missing")) == (0, 0)
    assert second.out.startswith("here: 5,946 files, of which 5,935 were there, 11 came (")
    assert second.out.endswith("and 0 are missing\nevery file has its published SHA-256\n")
    assert (nearly_all / MISSING[11]).read_bytes() == (dhsd_root / MISSING[11]).read_bytes()


def test_another_list_of_sums_is_refused(command: Command, dhsd_root: Path) -> None:
    files = files_of(dhsd_root)
    files["checksums.sha256"] += b"\n"
    with file_server(files) as server:
        error = command("data", "fetch", "dhsd", "--from", server.address).error
    assert "list of sums of dhsd" in error
    assert "data/dhsd stays there" in error


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        ("iam", ["https://fki.tic.heia-fr.ch/databases/iam-handwriting-database", "ascii/forms.txt", "iam50.yaml"]),
        ("cvl", ["https://cvl.tuwien.ac.at", "trainset/pages/0001-1.tif", "layout: cvl"]),
    ],
)
def test_where_to_register_and_what_to_put_where_is_printed(command: Command, corpus: str, said: list[str]) -> None:
    answer = command("data", "fetch", corpus)
    assert answer.code == 0
    for part in [*said, f"data/{corpus}/"]:
        assert part in answer.out
    assert "elsewhere/" in command("data", "fetch", corpus, "--to", "elsewhere").out


def test_the_experiment_that_it_tells_to_write_divides_cvl(command: Command, tmp_path: Path) -> None:
    answer = command("data", "fetch", "cvl", "--to", "my scans/cvl")
    piece = "corpus:\n" + answer.out.split("corpus:\n")[1].split("\n  4.")[0]
    forms = yaml.safe_load((EXPERIMENTS / "iam50-forms.yaml").read_text())
    (tmp_path / "cvl.yaml").write_text(yaml.safe_dump({**forms, **yaml.safe_load(piece), "name": "cvl"}))
    for number in range(60):
        part = "testset" if number > 20 else "trainset"
        for text in (1, 2, 3, 4, 6):
            page = tmp_path / "my scans" / "cvl" / part / "pages" / f"{number:04d}-{text}-cropped.tif"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.touch()
    experiment = load_experiment(tmp_path / "cvl.yaml")
    index = open_corpus(experiment.handwriting, tmp_path).index()
    chosen = choose_writers(index, experiment.writers, lambda _: {}).index
    manifest = split_pages(chosen, experiment.split)
    assert len(manifest.writer_ids) == 50
    assert len(manifest.test) == 50


def test_a_corpus_that_nobody_knows_is_refused(command: Command) -> None:
    answer = command("data", "fetch", "mnist")
    assert answer.code == 2
    assert "dhsd" in answer.err
