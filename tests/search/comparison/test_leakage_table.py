import json
from pathlib import Path

from search.comparison.leakage_audit import Audit, AuditedArm, Score
from search.comparison.leakage_table import markdown, remarks, table_rows, write_audit


def arm(name: str, image: float, warning: str = "") -> AuditedArm:
    scores = {
        f"{level}_top1": Score(image, round(image - 0.1, 3), round(image + 0.1, 3))
        for level in ("patch", "image", "page")
    }
    return AuditedArm(name, warning, f"hash-{name}", 120, 30, 180, 6000, scores, 61.0)


def audit(*arms: AuditedArm) -> Audit:
    return Audit(
        experiment="made",
        corpus="hands",
        is_generated=True,
        n_writers=5,
        split_hash="0123456789abcdef",
        baseline="page",
        recipe="default",
        epochs=3,
        seed=1,
        arms=arms,
        lacking={"text": "nobody knows the texts"},
        is_interrupted=False,
        folder=Path("somewhere"),
    )


def test_every_score_has_its_interval_and_its_distance_from_the_honest_one() -> None:
    head, patch, page = table_rows(audit(arm("patch", 0.9, "Leaky"), arm("page", 0.7)))
    assert head[:3] == ["split by", "patch top-1", "over page"]
    assert patch[:3] == ["patch (leaky)", "90.0% (80.0 to 100.0)", "+20.0"]
    assert page[:3] == ["page", "70.0% (60.0 to 80.0)", ""]
    assert page[-2:] == ["120, 30", "1 min 1 s"]


def test_the_table_of_a_terminal_says_the_same() -> None:
    head, patch, page = table_rows(audit(arm("patch", 0.9, "Leaky"), arm("page", 0.7)), narrow=True)
    assert head == ["split by", "patch top-1", "image top-1", "page top-1", "lines", "time"]
    assert patch[1] == "90.0% +20.0\n(80.0 to 100.0)"
    assert page[1] == "70.0% \n(60.0 to 80.0)"


def test_while_the_honest_arm_is_not_there_yet_no_distance_is_told() -> None:
    assert table_rows(audit(arm("patch", 0.9)))[1][2] == ""


def test_the_remarks_say_what_was_trained_and_what_is_lacking() -> None:
    said = " ".join(remarks(audit(arm("page", 0.7))))
    for text in ("generated, not real", "6,000 training patches", "seed 1", "No arm by text: nobody", "0123456789ab"):
        assert text in said


def test_both_files_are_written(tmp_path: Path) -> None:
    found = audit(arm("patch", 0.9, "Leaky split."), arm("page", 0.7))
    as_json, as_markdown = write_audit(found, tmp_path / "out")
    content = json.loads(as_json.read_text(encoding="utf-8"))
    assert content["arms"][0]["scores"]["page_top1"] == {"value": 0.9, "low": 0.8, "high": 1.0}
    assert content["warnings"] == ["Leaky split."]
    assert as_markdown.read_text(encoding="utf-8") == markdown(found)
    assert "| patch (leaky) |" in markdown(found)
