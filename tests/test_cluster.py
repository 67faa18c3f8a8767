"""Sweeps over a cluster: real networks through Ray, and a short part of `tests.cluster`."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

from search.ledger.ledger import read_ledger
from search.ledger.state import SweepState
from search.ledger.trial import TrialState
from tests.chaos.audit import audit
from tests.chaos.experiments import TINY_METRIC, write_tiny
from tests.cluster.hosts import can_imitate_hosts
from tests.command_line import COMMAND, environment, run_module

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs pip install 'whosehand[ray]'"),
]
ENGINE = {"name": "optuna", "sampler": "qmc", "pruner": "none"}


def sweep(folder: Path, name: str, executor: dict[str, object]) -> str:
    parts = {"workers": 1, "threads": 1, "min_free_mb": 0}
    changes = {"engine": ENGINE, "executor": {**parts, **executor}, "budget": {"trials": 2}}
    run = subprocess.run(
        [str(COMMAND), "sweep", str(write_tiny(folder, name, changes))],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout, run.stderr)
    return " ".join(run.stderr.split())


def checkpoints(state: SweepState) -> list[list[str]]:
    return [
        [event.report.checkpoint.sha256 for event in trial.reports if event.report.checkpoint]
        for trial in state.trials.values()
    ]


def test_a_sweep_over_ray_is_the_sweep_on_this_machine_to_the_bytes_of_its_checkpoints(tmp_path: Path) -> None:
    sweep(tmp_path, "local", {})
    said = sweep(tmp_path, "over-ray", {"name": "ray", "address": "local", "scratch": str(tmp_path / "node")})
    sweeps = tmp_path / "mlruns" / "sweeps"
    ours, theirs = read_ledger(sweeps / "over-ray"), read_ledger(sweeps / "local")
    assert ours.counts[TrialState.COMPLETED] == 2
    assert checkpoints(ours) == checkpoints(theirs)
    assert audit(tmp_path, "over-ray", TINY_METRIC, sweeps / "local") == []
    assert "is there, with 1 worker." in said
    assert not list((tmp_path / "node").glob("sessions/*/trials/*")), "a node keeps nothing of ended trials"


@pytest.mark.skipif(not can_imitate_hosts(), reason="imitated hosts need root and Linux's namespaces")
def test_a_sweep_over_three_hosts_survives_a_fault_of_each_kind(tmp_path: Path) -> None:
    options = ["--kills", "1", "--others", "1", "--networks", "0", "--per-sweep", "8", "--folder", str(tmp_path)]
    run = run_module("tests.cluster", *options)
    assert run.returncode == 0, (run.stdout, run.stderr)
    assert "Not all yet" not in run.stderr
