"""What `docs/architecture.md` says about files is so: a stranger opens what it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAX_FILES_OF_AN_ADDITION = 4


def _section(title: str) -> str:
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def _rows(section: str) -> list[list[str]]:
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _named(text: str) -> list[str]:
    return re.findall(r"`([\w/.<>]+(?:\.py|\.j2|/))`", text)


WHOLE_PATHS = [
    name for name in _named(TEXT) if name.startswith(("core/", "search/", "benchmarks/")) and "<" not in name
]


@pytest.mark.parametrize("path", sorted(set(WHOLE_PATHS)))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_addition_touches_at_most_four_files_which_exist() -> None:
    rows = _rows(_section("I want to add ..."))[2:]
    assert len(rows) >= 7
    for what, room, files in rows:
        named = _named(files)
        assert 1 <= len(named) <= MAX_FILES_OF_AN_ADDITION, what
        for name in named:
            assert "<" in name or (ROOT / room.strip("`") / name).exists() or (ROOT / name).exists(), (what, name)


def test_a_trial_is_followed_in_12_files_and_a_promotion_in_10() -> None:
    trial, promotion = _section("Two walks").split("A promotion,")
    assert len(re.findall(r"^\| \d+\. `", trial, re.MULTILINE)) <= 12
    assert len(re.findall(r"^\| \d+\. `", promotion, re.MULTILINE)) <= 10


def test_the_picture_names_every_room() -> None:
    picture = TEXT.split("```mermaid", 1)[1].split("```", 1)[0]
    rooms = {path.parent.name for package in ("core", "search") for path in (ROOT / package).glob("*/__init__.py")}
    assert {room for room in rooms if f"<b>{room}</b>" not in picture} == set()
