"""Every block of code in the documents is run, or checked, or is listed with a reason."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import whosehand as wh
from tests.command_line import TINY

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_BY = {
    "adapters.md": "tests/test_documented_code.py",
    "adding_an_engine.md": "tests/test_documented_code.py",
    "own_code.md": "tests/test_documented_own_code.py",
    "retrieval.md": "tests/core/retrieval/test_documented_retrieval.py",
    "peers.md": "python -m benchmarks.peers.killed; that they are its scripts is tested below",
}
"""What runs all Python and YAML of a document."""
RUN_HERE = {
    ("README.md", 0): "long",
    ("coming_from.md", 0): "made",
    ("many_sweeps.md", 0): "made",
    ("many_sweeps.md", 1): "long",
    ("notebook.md", 0): "made",
    ("notebook.md", 1): "long",
    ("promotion.md", 0): "long",
    ("python.md", 0): "long",
    ("python.md", 1): "made",
    ("serving.md", 0): "long",
}
"""Python blocks by their place: `made` builds experiments, `long` sweeps and promotes."""
NOT_RUN = {
    ("serving.md", 1): "asks a server that the block before starts; tests/benchmarks/test_served_model.py starts one",
}
SHELL = {
    "whosehand": "tests/test_packaging.py: the command and its options exist",
    "make": "tests/test_packaging.py: the target exists",
    "python": "its module exists, below",
    "pip": "installs from a registry",
    "mlflow": "starts a server that does not end",
    "curl": "asks that server",
    "export": "sets a variable for the lines after it",
    "echo": "writes the request of the lines after it",
    "for": "a loop of the shell around commands that are checked",
    "do": "as `for`",
    "done": "as `for`",
    "cd": "goes into the clone",
    "git": "clones from the network",
}
"""First words of lines for the shell, with what sees to them."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, its language, and its place among those of one language."""

    document: str
    language: str
    place: int
    text: str


def blocks() -> list[Block]:
    found = []
    for path in DOCUMENTS:
        counts: dict[str, int] = {}
        for language, text in re.findall(r"^```([a-z]*)\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            found.append(Block(path.name, language, counts.get(language, 0), text))
            counts[language] = counts.get(language, 0) + 1
    return found


BLOCKS = blocks()


def python(how: str) -> list[Block]:
    return [each for each in BLOCKS if each.language == "python" and RUN_HERE.get((each.document, each.place)) == how]


def run(block: Block, names: dict[str, Any]) -> None:
    exec(compile(block.text, block.document, "exec"), names)


def test_every_python_block_is_run_or_has_a_reason_and_no_reason_is_left_over() -> None:
    places = {(block.document, block.place) for block in BLOCKS if block.language == "python"}
    elsewhere = {place for place in places if place[0] in RUN_BY}
    assert places == elsewhere | set(RUN_HERE) | set(NOT_RUN)
    assert {document for document, _ in elsewhere} == set(RUN_BY)
    assert {block.language for block in BLOCKS} <= {"", "python", "yaml", "mermaid"}


def test_blocks_that_only_make_experiments_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in python("made"):
        names: dict[str, Any] = {"wh": wh}
        run(block, names)
        made = names.get("experiments") or [names["experiment"]]
        assert all(isinstance(each, wh.Experiment) for each in made), block.document
    assert wh.Experiment.load("mine.yaml").budget.minutes == 60


YAML = [block for block in BLOCKS if block.language == "yaml" and block.document not in RUN_BY]


@pytest.mark.parametrize("block", YAML, ids=lambda block: f"{block.document}-{block.place}")
def test_the_yaml_in_the_documents_is_accepted(block: Block, tmp_path: Path) -> None:
    around = {"name": "mine", "corpus": {"layout": "hands"}, "budget": {"trials": 1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**around, **yaml.safe_load(block.text)}))
    assert wh.Experiment.load(tmp_path / "mine.yaml").budget.trials


def test_lines_for_the_shell_are_commands_that_something_sees_to() -> None:
    unknown = []
    for block in BLOCKS:
        lines = block.text.replace("\\\n", " ").splitlines()
        is_shell = any(re.match(r"(\.venv/bin/)?(whosehand|make|python|pip|mlflow) ", line) for line in lines)
        for line in lines if block.language == "" and is_shell else ():
            first = line.strip().removeprefix(".venv/bin/").split(" ")[0]
            is_assignment = re.match(r"\w+=", line.strip())
            if first and not is_assignment and not first.startswith("#") and first not in SHELL:
                unknown.append(f"{block.document}: {line}")
            for module in re.findall(r"python -m ([\w.]+)", line):
                path = ROOT.joinpath(*module.split("."))
                assert module == "venv" or path.with_suffix(".py").exists() or (path / "__main__.py").exists(), line
    assert unknown == []


@pytest.mark.parametrize("peer", ["whosehand", "optuna", "keras_tuner"])
def test_the_peers_page_shows_the_scripts_and_counts_their_lines(peer: str) -> None:
    from benchmarks.peers.killed import n_lines

    page = (ROOT / "docs" / "peers.md").read_text("utf-8")
    script = (ROOT / "docs" / "peers" / f"with_{peer}.py").read_text("utf-8")
    assert script.split("\n\n", 1)[1] in page
    row = next(line for line in page.splitlines() if line.startswith("| lines of code"))
    place = ["whosehand", "optuna", "keras_tuner"].index(peer)
    assert row.split("|")[2 + place].strip() == str(n_lines(peer))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_blocks_that_sweep_and_promote_run_on_a_small_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    for name in ("quickstart", "dhsd"):
        Path(f"experiments/{name}.yaml").write_text(TINY.replace("name: tiny", f"name: {name}"))
    names: dict[str, Any] = {}
    found = {(block.document, block.place): block for block in python("long")}

    begin, end = found["README.md", 0].text.split("wh.champion()")
    exec(begin, names)
    shutil.copy(next(Path("data/hands").rglob("*.png")), "letter.png")
    shutil.copy("letter.png", "page.png")
    assert "model card" in names["promotion"].card.lower() or names["promotion"].card.startswith("# ")
    names["wh"].promote(names["sweep"], accept=True)  # so few test pages tell nothing
    exec("answer = wh.champion()" + end, names)
    assert names["answer"].writer_id in names["wh"].champion().writer_ids

    run(found["python.md", 0], names)
    assert names["sweep"].name == "quickstart"
    names["wh"].promote("quickstart", accept=True)
    run(found["serving.md", 0], names)
    run(found["promotion.md", 0], names)

    small = wh.Experiment.load("experiments/quickstart.yaml").model_copy(update={"budget": wh.Budget(trials=1)})
    names["experiments"] = [small.model_copy(update={"name": name}) for name in ("tpe-s1", "random-s1")]
    run(found["many_sweeps.md", 1], names)
    assert [sweep.status for sweep in names["sweeps"]] == ["completed", "completed"]

    import threading
    import time

    slow = small.model_copy(update={"name": "beside", "budget": wh.Budget(trials=50)})
    names["running"] = threading.Thread(target=wh.sweep, args=(slow,), kwargs={"progress": False})
    starts, rest = found["notebook.md", 1].text.split("\n", 1)
    exec(starts, names)
    while not Path("mlruns/sweeps/beside/ledger.jsonl").exists() or not wh.open_sweep("beside").trials:
        time.sleep(0.5)
    exec(rest, names)
    names["running"].join()
    stopped = wh.open_sweep("beside")
    assert (stopped.status, stopped.trials[0].note) == ("interrupted", "thin pens")
