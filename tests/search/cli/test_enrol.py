import json
from collections.abc import Callable
from pathlib import Path

import pytest

from search.tracking.store import open_store
from tests.command_line import Answer
from tests.search.toy_model import WRITER_IDS, save_toy_champion, toy_hands, write_line

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


@pytest.fixture
def project(command: Command, tmp_path: Path) -> Path:
    """A project whose champion takes hands along; the command is in it."""
    save_toy_champion(open_store(None, tmp_path), tmp_path / "toy", hands=toy_hands())
    for writer, number in (("anna", 12), ("anna", 13), ("berta", 30)):
        (tmp_path / "hands" / writer).mkdir(parents=True, exist_ok=True)
        write_line(tmp_path / "hands" / writer / f"{number}.png", number)
    return tmp_path


def test_writers_are_enrolled_listed_and_forgotten(command: Command, project: Path) -> None:
    answer = command("enrol", "hands")
    assert answer.out.splitlines() == [
        "enrolled: anna, 2 pages",
        "enrolled: berta, 1 page",
        "register: version 2 of toy",
    ]
    found = json.loads(command("writers", "--json").out)
    assert [(each["writer_id"], each["kind"]) for each in found["writers"]] == [
        *((writer, "trained") for writer in WRITER_IDS),
        ("anna", "enrolled"),
        ("berta", "enrolled"),
    ]
    assert (found["model"], found["version"], found["not_carried_over"]) == ("toy", 1, [])
    assert found["writers"][-1]["origin"] == str(project / "hands" / "berta")
    table = command("writers").out
    assert "berta" in table
    assert table.splitlines()[-1] == "model: toy version 1"
    assert command("forget", "anna").out == "forgotten: anna; 1 version of the register deleted\n"
    assert [each["writer_id"] for each in json.loads(command("writers", "--json").out)["writers"]][3:] == ["berta"]
    assert "Nobody called 'anna' is enrolled" in command("forget", "anna").error


@pytest.mark.long
def test_a_page_that_cannot_be_read_is_skipped_with_its_reason(command: Command, project: Path) -> None:
    (project / "note.png").write_text("no image")
    answer = command("enrol", "--writer", "clara", "note.png", project / "hands" / "berta")
    assert (answer.code, answer.out.splitlines()[0]) == (2, "enrolled: clara, 1 page")
    assert "note.png" in answer.err


def test_what_cannot_be_enrolled_is_one_message(command: Command, project: Path) -> None:
    page = project / "hands" / "anna" / "12.png"
    assert "Say --writer NAME" in command("enrol", page).error
    assert "Which pages did anna write?" in command("enrol", "--writer", "anna").error
    assert f"it was trained on {WRITER_IDS[0]}" in command("enrol", "--writer", WRITER_IDS[0], page).error
    assert "must be printable text that is not empty" in command("enrol", "--writer", " ", page).error
    assert command("enrol").out == "everybody is enrolled with the present champion already\n"


@pytest.mark.long
def test_a_scan_has_one_writer_whatever_its_name_is(command: Command, project: Path) -> None:
    page, copy = project / "hands" / "anna" / "12.png", project / "copy.png"
    copy.write_bytes(page.read_bytes())
    assert command("enrol", "--writer", "anna", page).code == 0
    assert "is enrolled as a page by anna already" in command("enrol", "--writer", "berta", copy).err
    assert "are the same image" in command("verify", page, copy).error


@pytest.mark.long
def test_identify_names_an_enrolled_writer_and_says_what_its_rates_rest_on(command: Command, project: Path) -> None:
    page = project / "hands" / "anna" / "12.png"
    command("enrol", "hands")
    answer = command("identify", page)
    assert answer.code == 0, answer.err
    said = answer.out
    assert said.splitlines()[-1] == "model: toy version 1 (the champion), 3 writers known, 2 enrolled"
    content = json.loads(command("identify", page, "--json").out)
    assert {each["writer_id"] for each in content["images"][0]["ranking"]} == {*WRITER_IDS, "anna", "berta"}


@pytest.mark.long
def test_two_pages_are_verified_and_the_evidence_is_one_page(command: Command, project: Path) -> None:
    one, other, third = sorted((project / "hands").rglob("*.png"))
    found = json.loads(command("verify", one, other, "--json", "--evidence", "why.html").out)
    low, high = found["bounds"]
    assert low <= found["log10_lr"] <= high
    assert found["calibration"]["origin"] == "writers of toy who took no part in training"
    assert found["calibration"]["n_writers"] == 12
    assert found["is_validated_casework"] is False
    page = (project / "why.html").read_text()
    assert "Not validated casework" in page
    assert page.count("<svg") == 2
    assert "http:" not in page, "it needs nothing else"
    assert "https:" not in page
    said = command("verify", one, third).out
    assert "not validated casework" in said
    assert "calibrated on: writers of toy who took no part in training (12 writers" in said


@pytest.mark.long
def test_a_word_is_too_little_to_verify(command: Command, project: Path) -> None:
    word = write_line(project / "word.png", 2)
    error = command("verify", word, project / "hands" / "berta" / "30.png").error
    assert "Below 4 patches of ink nothing is said about a hand" in error
