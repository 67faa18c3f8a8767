import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "retrieval.md"


def test_the_examples_run_and_say_what_the_text_says() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, DOCUMENT.name, "exec"), names)
    low, high = names["scores"].intervals["map"]
    assert 0.4 < low < names["scores"].metrics["map"] < high < 1
    assert names["found"].cllr < 1
    assert names["log10_ratio"] > 0
    assert names["calibration"].highest <= 1.05, "ten writers support no ratio above 11"
