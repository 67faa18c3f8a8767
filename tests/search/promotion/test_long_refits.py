"""Refits that find out how long they pay, and refits by several members, from the command line."""

import json
import re

import pytest

from search.cli.promote import NOT_PASSED
from tests.command_line import Project, records_of, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MODEL = "whosehand-tiny"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep of one trial of four epochs, and two promotions."""
    folder = tmp_path_factory.mktemp("long-refits")
    experiment = write_experiment(folder, {"budget": {"trials": 1}, "training": {"epochs": 4}})
    answers = {
        "sweep": whosehand(folder, "sweep", experiment.name),
        "plan": whosehand(folder, "promote", "tiny", "--minutes", "1", "--dry-run"),
        "minutes": whosehand(folder, "promote", "tiny", "--minutes", "1", "--accept"),
        "again": whosehand(folder, "promote", "tiny", "--minutes", "1", "--accept"),
        "members": whosehand(folder, "promote", "tiny", "--epochs", "2", "--members", "2", "--accept"),
    }
    return Project(folder, answers)


def test_shorter_fits_say_how_long_the_refit_pays(project: Project) -> None:
    assert "1 and 2 epochs would be trained first" in project.answers["plan"].out
    said = _said(project, "minutes")
    assert [int(n) for n in re.findall(r"Shorter fit of trial 0, .*: (\d+) epoch", said)] == [1, 2]
    (epochs,) = map(int, re.findall(r"Refit of trial 0, .*: (\d+) epoch", said))
    assert epochs >= 4
    assert re.search(r"\(log-loss \d\.\d+ after 1 epoch, \d\.\d+ after 2 epochs, \d\.\d+ after 4 epochs\)", said)
    assert (project.sweep / "refits" / f"trial-000-{epochs}-epochs" / "identifier.json").is_file()


def test_the_same_command_finds_the_same_refit_again(project: Project) -> None:
    assert "epoch 1/" not in _said(project, "again")
    assert "Refit of trial" not in _said(project, "again")


def test_several_members_become_one_version_that_answers(project: Project) -> None:
    said = _said(project, "members")
    assert "2 members of 2 epochs" in said
    assert "joining 2 members to one model" in said
    with records_of(project.folder) as client:
        versions = {v.version: v for v in client.search_model_versions(f"name = '{MODEL}'")}
        kinds = {model.tags.get("kind") for model in client.search_logged_models(["1"])}
    assert len(versions) == 2
    newest = versions[max(versions, key=int)]
    assert newest.tags["members"] == "2"
    assert {"refit-2-member-1", "refit-2-member-2", "refit-2-member-1-identifier"} <= kinds
    page = next((project.folder / "data" / "hands").rglob("*.png"))
    answer = whosehand(project.folder, "identify", "--model", f"models:/{MODEL}/{newest.version}", str(page), "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)


def _said(project: Project, command: str) -> str:
    answer = project.answers[command]
    assert answer.code in (0, NOT_PASSED), answer
    return answer.out + answer.err
