"""The contract of executors over Ray itself, on a cluster of this machine alone."""

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from search.executors.base import ExecutorError, WorkerLost, WorkerReported
from search.executors.ray.cluster import RayCluster
from search.executors.ray.executor import ClusterExecutor
from search.executors.ray.parcels import AgentSetup
from search.executors.ray.scout import Cluster
from search.experiment.settings import ExecutorSettings
from search.ledger.trial import FailureKind, PruningDecision, TrialSpec
from search.objectives.cheap import CheapSettings
from search.testing.executors import ExecutorContract, next_message
from search.upkeep.cluster_checks import examine_cluster
from tests.search.cheap_sweep import CHEAP

HAS_RAY = importlib.util.find_spec("ray") is not None
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not HAS_RAY, reason="needs pip install 'whosehand[ray]'"),
]


@pytest.fixture(scope="module")
def joined() -> Iterator[RayCluster]:
    """Ray's processes, started once; each executor joins what runs."""
    cluster = RayCluster("local")
    yield cluster
    cluster.close()


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    settings = CheapSettings()
    return TrialSpec("s", 0, 1, CHEAP, {"x": 0.5}, 1, 0, 2, 2, 1, "float32", None, tmp_path / "driver" / "0", settings)


def test_a_cluster_that_is_not_there_is_an_error_that_says_how_to_start_one() -> None:
    with pytest.raises(ExecutorError, match="ray start"):
        RayCluster("127.0.0.1:1")


@pytest.mark.usefixtures("joined")
class TestRay(ExecutorContract):
    """The contract of executors."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.scratch = tmp_path / "node"

    def make_executor(self, n_workers: int, threads: int) -> ClusterExecutor:
        cluster: Cluster = RayCluster("auto")
        return ClusterExecutor(cluster, AgentSetup("", self.scratch, n_workers, threads))


@pytest.mark.usefixtures("joined")
def test_an_agent_that_is_killed_gives_its_trial_back_and_another_one_takes_its_place(
    spec: TrialSpec, tmp_path: Path
) -> None:
    executor = ClusterExecutor(RayCluster("auto"), AgentSetup("", tmp_path / "node", 1, 1))
    with closing(executor):
        executor.start(spec)
        next_message(executor)
        os.kill(executor.descriptions[0].pid, 9)
        lost = next_message(executor)
        assert isinstance(lost, WorkerLost)
        assert lost.failure is FailureKind.NODE_LOST
        ends_s = time.monotonic() + 60
        while executor.n_workers == 0 and time.monotonic() < ends_s:
            executor.poll(0.2)
        folder = tmp_path / "driver" / "again"
        executor.start(TrialSpec(**{**vars(spec), "attempt": 2, "work_dir": folder}))
        assert isinstance(next_message(executor), WorkerReported)
        executor.answer(0, PruningDecision.GO)


@pytest.mark.usefixtures("joined")
def test_trials_are_no_nicer_than_the_driver(tmp_path: Path) -> None:
    executor = ClusterExecutor(RayCluster("auto"), AgentSetup("", tmp_path / "node", 1, 1))
    with closing(executor):
        pid = executor.descriptions[0].pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.usefixtures("joined")
def test_a_doctor_examines_each_node_and_finds_the_token(tmp_path: Path) -> None:
    findings = examine_cluster(ExecutorSettings(name="ray", scratch=str(tmp_path / "node"), workers=1))
    topics = [finding.topic for finding in findings]
    assert topics[0] == "cluster"
    assert any(topic.startswith("node ") for topic in topics)
    assert not [finding.text for finding in findings if "there is no token" in finding.text]
    assert not [finding.text for finding in findings if "niceness" in finding.text]
    assert not [finding for finding in findings if "other versions" in finding.text]
    assert any("1 worker of" in finding.text for finding in findings)
