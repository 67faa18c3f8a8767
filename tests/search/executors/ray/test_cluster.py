"""The contract of executors over Ray itself, on a cluster of this machine alone."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
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
from tests.command_line import ROOT
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
def test_a_cluster_of_our_own_listens_at_the_loopback_address_alone() -> None:
    open_at = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # workers end at any time
            connections = process.net_connections(kind="inet")
            open_at |= {(process.name(), each.laddr.ip) for each in connections if each.status == psutil.CONN_LISTEN}
    assert {"raylet", "gcs_server"} <= {name for name, _ in open_at}
    assert {ip for _, ip in open_at} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.usefixtures("joined")
def test_trials_are_no_nicer_than_the_driver(tmp_path: Path) -> None:
    executor = ClusterExecutor(RayCluster("auto"), AgentSetup("", tmp_path / "node", 1, 1))
    with closing(executor):
        pid = executor.descriptions[0].pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)


_PASSWORD = "a-password-of-the-driver-0815"
_DRIVER = """
import sys
from pathlib import Path
from search.executors.base import run_task
from search.executors.ray.cluster import RayCluster
from search.executors.ray.executor import ClusterExecutor
from search.executors.ray.parcels import AgentSetup
from search.ledger.trial import TrialSpec
from search.objectives.cheap import CheapSettings

address, folder, _ = sys.argv[1:]
executor = ClusterExecutor(RayCluster(address), AgentSetup("", Path(folder) / "node", 1, 1))
print(Path(f"/proc/{executor.descriptions[0].pid}/environ").read_text())
settings = CheapSettings()
spec = TrialSpec.of_task(CHEAP, settings, Path(folder) / "work", precision="float32", seed=1, threads=1)
print(run_task(executor, spec).state)
""".replace("CHEAP", repr(CHEAP), 1)


@pytest.mark.usefixtures("joined")
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads environments from /proc")
def test_a_password_of_the_driver_reaches_no_agent_no_log_and_no_record_of_ray(tmp_path: Path) -> None:
    import ray  # not installed everywhere

    address = ray.get_runtime_context().gcs_address
    run = subprocess.run(
        [sys.executable, "-c", _DRIVER, address, str(tmp_path), f"tracking.uri=postgresql://me:{_PASSWORD}@host/x"],
        env={**os.environ, "DATABASE_PASSWORD": _PASSWORD, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("completed\n")
    assert "RAY_" in run.stdout, "the agent's environment was read"
    assert _PASSWORD not in run.stdout + run.stderr
    entries = {job.entrypoint for job in ray._private.worker.global_worker.gcs_client.get_all_job_info().values()}
    assert entries == {"whosehand"}
    logs = Path(ray._private.worker._global_node.get_session_dir_path())
    files = [path for folder in (logs, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if _PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.usefixtures("joined")
def test_a_doctor_examines_each_node_and_finds_the_token(tmp_path: Path) -> None:
    findings = examine_cluster(ExecutorSettings(name="ray", scratch=str(tmp_path / "node"), workers=1))
    topics = [finding.topic for finding in findings]
    assert topics[0] == "cluster"
    assert any(topic.startswith("node ") for topic in topics)
    assert not [finding.text for finding in findings if "there is no token" in finding.text]
    assert not [finding.text for finding in findings if "niceness" in finding.text]
    assert not [finding.text for finding in findings if "to its makers" in finding.text]
    assert not [finding.text for finding in findings if "ends the agent" in finding.text]
    assert not [finding for finding in findings if "other versions" in finding.text]
    assert any("1 worker of" in finding.text for finding in findings)
    assert [finding.level for finding in findings if "its ports are open both ways" in finding.text] == ["ok"]
