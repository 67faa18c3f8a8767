"""The Python code in the documents runs as it stands there."""

import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def blocks(document: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_adapters_train_networks_in_optuna_and_keras_tuner_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    small = "patches_per_epoch: 400"
    text = (ROOT / "experiments" / "quickstart.yaml").read_text().replace("patches_per_epoch: 3_000", small)
    assert small in text
    (tmp_path / "experiments" / "quickstart.yaml").write_text(text.replace("n_writers: 10", "n_writers: 3"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "document"}
    for block in blocks("adapters.md"):
        exec(compile(block, "adapters.md", "exec"), names)
    trials = names["study"].trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    tuned = names["tuner"].oracle.get_best_trials(2)
    assert [trial.status for trial in tuned] == ["COMPLETED", "COMPLETED"]
    for losses in (list(trial.intermediate_values.values()) for trial in trials):
        assert len(losses) == 4
    improvements = [max(trial.intermediate_values.values()) - trial.value for trial in trials]
    assert max(improvements) > 0.05, "nothing was learned"
    by_chance = math.log(3)
    assert min(trial.score for trial in tuned) < by_chance - 0.05, "nothing was learned"
    assert names["study"].best_value < by_chance - 0.05
    for values in (names["study"].best_params, tuned[0].hyperparameters.values):
        assert "learning_rate" in values


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
