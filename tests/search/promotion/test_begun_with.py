"""The whole way of fits that begin with a trained network: generated hands, a champion of such
fits, and a sweep that begins with that champion.
"""

import json
from pathlib import Path

import pytest
from mlflow.entities import Run

from core.networks.origin import Origin
from search.experiment.experiment import load_experiment
from search.identification.identifier_folder import read_record, read_split
from search.sweep.start_source import Lineage
from search.tracking.registry import download_model, find_version
from search.tracking.store import open_store
from tests.command_line import records_of, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
TRAINING = {"epochs": 2, "precision": "float32"}


def _runs(folder: Path, experiment: str, kind: str) -> list[Run]:
    with records_of(folder) as client:
        (found,) = client.search_experiments(filter_string=f"name = '{experiment}'")
        return list(client.search_runs([found.experiment_id], f"tags.kind LIKE '{kind}%'"))


def test_lineage_is_told_from_generated_hands_over_a_champion_to_the_sweep_after_it(tmp_path: Path) -> None:
    budget = {"budget": {"trials": 2}, "executor": {"workers": 2, "threads": 1}}
    write_experiment(tmp_path, {**budget, "training": {**TRAINING, "start_from": "hands:4"}})
    swept = whosehand(tmp_path, "sweep", "tiny.yaml")
    assert swept.code == 0, swept
    assert "trained on 4 generated writers first" in " ".join(swept.err.split())
    (kept,) = (tmp_path / "data" / "starts").glob("*.npz")
    trials = _runs(tmp_path, "tiny", "trial")
    assert len(trials) == 2
    for run in trials:
        assert run.data.tags["start_from"] == "hands:4"
        assert run.data.tags["start_from_sha256"].startswith(kept.stem)
    promoted = whosehand(tmp_path, "promote", "tiny", "--accept")
    assert promoted.code == 0, promoted
    (refit,) = _runs(tmp_path, "tiny", "refit")
    assert refit.data.tags["start_from"] == "hands:4"
    first = _version(tmp_path, "whosehand-tiny")
    assert read_record(first).origin == Origin("hands:4", refit.data.tags["start_from_sha256"])

    start = {**TRAINING, "start_from": "models:/whosehand-tiny@champion"}
    write_experiment(tmp_path, {**budget, "name": "after", "training": start})
    refused = whosehand(tmp_path, "sweep", "after.yaml", "--set", "split.seed=1")
    assert "models:/whosehand-tiny/1 was trained or chosen on" in refused.error
    refused = whosehand(tmp_path, "sweep", "after.yaml", "--set", "space.fixed.filters=5")
    assert "block_1_convolution_1 is 3x3x1x4 there and 3x3x1x5 here" in refused.error
    swept = whosehand(tmp_path, "sweep", "after.yaml")
    assert swept.code == 0, swept
    assert whosehand(tmp_path, "compare", "after", "--finalists", "1", "--repeats", "1").code == 0
    promoted = whosehand(tmp_path, "promote", "after", "--accept")
    assert promoted.code == 0, promoted
    (again,) = _runs(tmp_path, "after", "refit")
    for run in (*_runs(tmp_path, "after", "trial"), *_runs(tmp_path, "after", "finalist"), again):
        assert run.data.tags["start_from"] == "models:/whosehand-tiny/1"
        assert run.data.tags["start_from_run"] == refit.info.run_id
    second = _version(tmp_path, "whosehand-after")
    origin = read_record(second).origin
    assert origin is not None
    assert (origin.name, origin.run_id) == ("models:/whosehand-tiny/1", refit.info.run_id)
    lineage, split = Lineage.read(second / "artifacts" / "lineage.json"), read_split(first)
    assert split is not None
    assert [seen.train for seen in lineage.seen] == [split.train]
    card = next((tmp_path / "mlruns" / "sweeps" / "after" / "refits").glob("*/model_card.md")).read_text()
    assert (
        f"Began with the weights of `models:/whosehand-tiny/1`, all but the last layer's (`{origin.sha256[:12]}`"
        in card
    )
    events = (tmp_path / "mlruns" / "sweeps" / "after" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(events[0])["config"]["training"]["start_from"] == "models:/whosehand-tiny@champion"


def _version(folder: Path, name: str) -> Path:
    store = open_store(load_experiment(folder / "tiny.yaml").tracking, folder)
    version = find_version(store, name, 1)
    assert version is not None
    assert version.tags["start_from"]
    return download_model(store, version.location)
