"""The Python code in the documents runs as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def blocks(document: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(900)
def test_the_adapters_work_in_optuna_and_keras_tuner_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").mkdir()
    small = "patches_per_epoch: 200"
    text = (ROOT / "experiments" / "quickstart.yaml").read_text().replace("patches_per_epoch: 3_000", small)
    assert small in text
    (tmp_path / "experiments" / "quickstart.yaml").write_text(text.replace("n_writers: 10", "n_writers: 3"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "document"}
    for block in blocks("adapters.md"):
        exec(compile(block, "adapters.md", "exec"), names)
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert len(shown) == 2
    assert all("learning_rate" in line for line in shown)


def _sobol() -> ModuleType:
    module = ModuleType("documented_engine")
    sys.modules[module.__name__] = module
    for block in blocks("adding_an_engine.md"):
        exec(compile(block, "adding_an_engine.md", "exec"), module.__dict__)
    return module


SOBOL = _sobol()


def test_the_documented_engine_is_thirty_lines() -> None:
    engine = blocks("adding_an_engine.md")[0]
    code = [line for line in engine[engine.index("class SobolEngine") :].splitlines() if line.strip()]
    assert len(code) <= 30


class TestDocumentedEngine(SOBOL.TestSobol):  # type: ignore[name-defined]
    """The contract, by the document's own three lines."""
