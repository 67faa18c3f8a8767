import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Answer, Project, whosehand

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


def test_without_a_champion_it_says_how_to_get_one(command: Command, tmp_path: Path) -> None:
    message = command("identify", "page.png").error
    assert message.startswith("No model is registered in sqlite:///")
    assert "`whosehand promote SWEEP` registers one" in message
    assert "No registered model is called 'x'" in command("identify", "page.png", "--model", "x").error


def test_an_unreachable_store_is_one_message(command: Command) -> None:
    assert "No MLflow server answers" in command("identify", "page.png", "--uri", "http://127.0.0.1:9").error


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_no_image_is_skipped_and_the_others_are_answered(finished_project: Project, tmp_path: Path) -> None:
    page = finished_project.answers["pages"].out.splitlines()[0]
    note = tmp_path / "note.txt"
    note.write_text("no image")
    answer = whosehand(finished_project.folder, "identify", "--json", note, page, tmp_path / "nothing.png")
    assert answer.code == 2
    content = json.loads(answer.out)
    assert [image["path"] for image in content["images"]] == [page]
    assert [Path(item["path"]).name for item in content["unreadable"]] == ["note.txt", "nothing.png"]
    said = [line for line in answer.err.splitlines() if not line.startswith("asking the model: ")]
    assert [line.split()[0] for line in said] == ["skipped", "skipped"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long
def test_no_usable_image_at_all_is_an_error(finished_project: Project, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("no image")
    answer = whosehand(finished_project.folder, "identify", note)
    assert answer.error.startswith("At least one image must show handwriting")
    assert "note.txt is none" in answer.err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long
def test_a_version_can_be_asked_by_its_address(finished_project: Project) -> None:
    page = finished_project.answers["pages"].out.splitlines()[0]
    by_name = whosehand(finished_project.folder, "identify", "--json", page)
    by_address = whosehand(finished_project.folder, "identify", "--json", "--model", "models:/whosehand-tiny/1", page)
    assert json.loads(by_address.out)["model"] == "models:/whosehand-tiny/1"
    assert json.loads(by_address.out)["images"] == json.loads(by_name.out)["images"]
