"""A sweep, a weaker one that the gate stops, a stronger one that passes, a rollback: through the
command line.

No score or threshold is set by hand: the second network is half as wide as the first and trained
for a quarter as long; the third is four times as wide and trained four times as long. Each writer
has six sealed test pages, since the gate asks for an interval that is wholly on one side.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command_line import Answer, records_of, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MODEL = "hands-writers"
SHARED = {
    "corpus": {"layout": "hands", "n_writers": 4, "n_pages": 16, "n_lines": 3},
    "split": {"validation": 0.25, "test": 0.375},
    "patches": {"patches_per_epoch": 400, "per_image_at_validation": 2, "per_image_at_test": 12},
    "training": {"epochs": 1, "precision": "float32"},
    "budget": {"trials": 1},
}
SWEEPS = {
    "first": ({"filters": 4}, 4),
    "second": ({"filters": 2}, 1),
    "third": ({"filters": 16}, 16),
}


def _experiment(folder: Path, name: str) -> Path:
    network, epochs = SWEEPS[name]
    fixed = {"n_blocks": 3, "convolutions_per_block": 1, "batch_size": 16, "input_px": 56, "learning_rate": 0.003}
    space = {
        "base": "none",
        "fixed": fixed | network,
        "dimensions": {"dropout": {"type": "real", "low": 0.0, "high": 0.2}},
        "enqueue": [],
    }
    changes = SHARED | {"name": name, "space": space, "promotion": {"epochs": epochs, "model": MODEL}}
    return write_experiment(folder, changes)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def answers(project: Path) -> Mapping[str, Answer]:
    """What the commands said, in the order of a project's life."""
    said: dict[str, Answer] = {}
    for name in SWEEPS:
        whosehand(project, "sweep", _experiment(project, name))
        if name == "second":
            said["planned"] = whosehand(project, "promote", name, "--dry-run")
        said[name] = whosehand(project, "promote", name)
    said["rollback"] = whosehand(project, "rollback", "--model", MODEL)
    said["history"] = whosehand(project, "promote", "--history", "--model", MODEL)
    return said


def _version_of(project: Path, alias: str) -> int:
    with records_of(project) as client:
        return int(client.get_model_version_by_alias(MODEL, alias).version)


def test_the_first_model_becomes_champion(answers: Mapping[str, Answer]) -> None:
    assert answers["first"].code == 0, answers["first"]
    assert f"champion of {MODEL}: version 1" in answers["first"].out
    assert "loaded afresh from the registry it gives the same probabilities" in answers["first"].out


def test_the_weaker_one_stays_challenger_with_reasons_in_words(answers: Mapping[str, Answer]) -> None:
    answer = answers["second"]
    assert answer.code == 2, answer
    assert f"challenger of {MODEL}: version 2; not champion:" in answer.out
    assert "not shown to be better than the champion, version 1, on 24 test pages that neither has seen" in answer.out


def test_the_stronger_one_passes_and_the_former_champion_is_previous(answers: Mapping[str, Answer]) -> None:
    assert answers["third"].code == 0, answers["third"]
    assert f"champion of {MODEL}: version 3 (before: version 1, now `previous`)" in answers["third"].out
    assert "better than the champion, version 1" in answers["third"].out


def test_a_rollback_makes_them_change_places(answers: Mapping[str, Answer], project: Path) -> None:
    assert f"champion of {MODEL}: version 1 again (before: version 3, now `previous`)" in answers["rollback"].out
    aliases = {alias: _version_of(project, alias) for alias in ("champion", "previous", "challenger")}
    assert aliases == {"champion": 1, "previous": 3, "challenger": 2}


def test_a_dry_run_says_what_would_be_and_opens_nothing(answers: Mapping[str, Answer], project: Path) -> None:
    assert "this would be the 2nd time these test images are opened" in answers["planned"].out
    assert "compared with the champion" in answers["planned"].out
    assert "on 24 test pages that neither has seen" in answers["planned"].out
    openings = [json.loads(line) for line in (project / "mlruns" / "test_openings.jsonl").read_text().splitlines()]
    assert [opening["reason"].split(" trial")[0] for opening in openings] == [f"promote {name}" for name in SWEEPS]
    assert len({opening["test_hash"] for opening in openings}) == 1


def test_every_later_score_carries_the_count_of_test_accesses(answers: Mapping[str, Answer]) -> None:
    for name, times in (("first", "once"), ("second", "2 times"), ("third", "3 times")):
        assert f"these test pages had been opened {times} by then" in answers[name].out


def test_the_history_tells_it_all(answers: Mapping[str, Answer]) -> None:
    out = answers["history"].out
    for words in ("champion", "challenger", "previous", "champion again", "(rollback)", "not shown to be"):
        assert words in out  # a narrow table breaks longer sentences


def test_each_version_has_its_card_in_the_registry_and_with_its_run(
    answers: Mapping[str, Answer], project: Path
) -> None:
    assert answers["third"].code == 0
    with records_of(project) as client:
        for version in client.search_model_versions(f"name = '{MODEL}'"):
            card = client.get_model_version(MODEL, version.version).description
            assert card.startswith(f"# {MODEL}, version {version.version}\n")
            assert "Not for court on its own" in card
            assert len(card) <= 5000
            assert ("It did **not** pass the gate" in card) == (int(version.version) == 2)
            files = {file.path for file in client.list_artifacts(version.run_id)}
            assert "model_card.md" in files
            assert version.tags["gate"] == ("failed" if int(version.version) == 2 else "passed")
