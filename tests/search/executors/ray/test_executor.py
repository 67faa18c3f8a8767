"""Trials on nodes that come and go: the contract of executors, and what only a cluster has.

The nodes are in this process, with real agents and real workers; the line to them is cut and heals
as a test says. The same contract runs over Ray in `test_cluster.py`.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from search.executors.base import ExecutorError, Message, WorkerEnded, WorkerLost, WorkerReported
from search.executors.ray.executor import ClusterExecutor, agreed_precision
from search.executors.ray.node import Node
from search.executors.ray.parcels import AgentSetup, NodeDescription
from search.executors.ray.versions import deciding_versions, differences
from search.experiment.settings import BudgetSettings
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.trial import FailureKind, PruningDecision, TrialSpec, TrialState
from search.objectives.cheap import CheapSettings
from search.objectives.tasks import TRY_CODE, CodeTrial, FunctionReference, OwnTask
from search.sweep.loop import run_sweep
from search.testing.executors import ExecutorContract, next_message, settings_of_the_driver_alone
from tests.search.cheap_sweep import CHEAP, CheapSweep, ScriptedEngine
from tests.search.executors.ray.full_disk import FULL_DISK
from tests.search.executors.ray.near_nodes import NearCluster, NearLink, near_executor


@pytest.fixture
def cluster(tmp_path: Path) -> NearCluster:
    return NearCluster(tmp_path / "nodes")


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    settings = CheapSettings()
    return TrialSpec("s", 0, 1, CHEAP, {"x": 0.5}, 1, 0, 2, 2, 1, "float32", None, tmp_path / "driver" / "0", settings)


class TestClusterExecutor(ExecutorContract):
    """The contract of executors."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.scratch = tmp_path / "nodes"

    def make_executor(self, n_workers: int, threads: int) -> ClusterExecutor:
        return near_executor(NearCluster(self.scratch), n_workers, threads)


@pytest.mark.long
class TestClusterExecutorOnABadLine(TestClusterExecutor):
    """The contract, where orders are lost and sent again, and replies too."""

    def make_executor(self, n_workers: int, threads: int) -> ClusterExecutor:
        cluster = NearCluster(self.scratch)
        executor = near_executor(cluster, n_workers, threads)
        for link in cluster.links:
            link.loses_orders = True
        return executor


def wait_until(is_so: Callable[[], bool], executor: ClusterExecutor, timeout_s: float = 20) -> list[Message]:
    heard: list[Message] = []
    ends_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < ends_s
        heard += executor.poll(0.05)
    return heard


def test_workers_are_those_of_all_nodes_and_trials_spread_over_them(cluster: NearCluster, spec: TrialSpec) -> None:
    cluster.names = ["a", "b"]
    with closing(near_executor(cluster, 2)) as executor:
        wait_until(lambda: executor.n_workers == 4, executor)
        hosts = [executor.start(replace(spec, number=n, work_dir=spec.work_dir / str(n))).host for n in range(4)]
        assert sorted(hosts) == ["a", "a", "b", "b"]
        with pytest.raises(ExecutorError, match="A free worker is needed"):
            executor.start(replace(spec, number=4))


def test_a_node_that_dies_gives_its_trial_back_and_is_used_again_when_it_lives(
    cluster: NearCluster, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.executors.ray.scout._AGAIN_S", 0.1)
    monkeypatch.setattr("search.executors.ray.scout._LOOK_EVERY_S", 0.05)
    with closing(near_executor(cluster)) as executor:
        executor.start(spec)
        next_message(executor)
        cluster.link("a").die()
        lost = next_message(executor)
        assert isinstance(lost, WorkerLost)
        assert lost.failure is FailureKind.NODE_LOST
        assert lost.reason.startswith("gone")
        wait_until(lambda: executor.n_workers == 1, executor)
        executor.start(replace(spec, attempt=2, work_dir=spec.work_dir / "again"))
        assert isinstance(next_message(executor), WorkerReported)


def test_a_short_cut_of_the_line_loses_nothing(cluster: NearCluster, spec: TrialSpec) -> None:
    with closing(near_executor(cluster)) as executor:
        cluster.link("a").n_lost_replies = 1
        executor.start(spec)
        assert isinstance(next_message(executor), WorkerReported)
        assert executor.poll(0.1) == [], "a parcel that came twice counts once"


def test_a_node_that_stays_unreachable_is_lost(cluster: NearCluster, spec: TrialSpec) -> None:
    with closing(near_executor(cluster, patience_s=0.1)) as executor:
        executor.start(spec)
        next_message(executor)
        cluster.names.clear()
        cluster.link("a").is_cut = True
        lost = next_message(executor)
        assert isinstance(lost, WorkerLost)
        assert "unreachable" in lost.reason
        assert executor.n_workers == 0


def test_files_come_to_the_driver_and_go_back_to_another_node(cluster: NearCluster, spec: TrialSpec) -> None:
    with closing(near_executor(cluster)) as executor:
        executor.start(replace(spec, until_epoch=1))
        reported = next_message(executor)
        assert isinstance(reported, WorkerReported)
        executor.answer(0, PruningDecision.GO)
        next_message(executor)
        cluster.names = ["b"]
        cluster.link("a").die()
        wait_until(lambda: [found.host for found in executor.descriptions] == ["b"], executor)
        executor.poll(0)
        checkpoint, folder = reported.report.checkpoint, spec.work_dir.with_name("second")
        place = executor.start(replace(spec, attempt=2, start_epoch=1, checkpoint=checkpoint, work_dir=folder))
        assert place.host == "b"
        again = next_message(executor)
        assert isinstance(again, WorkerReported)
        assert again.report.epoch == 2
        executor.answer(0, PruningDecision.GO)
        ended = next_message(executor)
        assert isinstance(ended, WorkerEnded)
        assert ended.result.state is TrialState.COMPLETED
        assert again.report.metrics["val/loss"] > reported.report.metrics["val/loss"], "it went on, from its loss"


def test_what_a_worker_prints_reaches_the_driver_s_log(cluster: NearCluster, spec: TrialSpec) -> None:
    with closing(near_executor(cluster)) as executor:
        executor.start(replace(spec, settings=CheapSettings(dying=frozenset({0}))))
        next_message(executor)
        executor.answer(0, PruningDecision.GO)
        lost = next_message(executor)
        assert isinstance(lost, WorkerLost)
        assert lost.failure is FailureKind.WORKER_LOST
        assert (spec.work_dir / "worker.log").read_text() == "about to die\n"


def test_nodes_of_another_version_are_refused_with_both_versions(cluster: NearCluster) -> None:
    cluster.change = lambda found: replace(found, versions={**found.versions, "keras": "2.0"})
    with pytest.raises(ExecutorError, match=r"on a keras is 2\.0, here it is 3\."):
        near_executor(cluster)
    assert all(link.agent._is_closed.is_set() for link in cluster.links), "its agent was ended"


def test_differences_name_what_is_missing_too() -> None:
    assert differences({"numpy": "2.4", "keras": "3.15"}, {"numpy": "2.4"}) == ["keras is missing, here it is 3.15"]


def test_one_precision_holds_for_all_nodes(cluster: NearCluster) -> None:
    with closing(near_executor(cluster)) as executor:
        (found,) = executor.descriptions
    fast: NodeDescription = replace(found, precision="mixed_bfloat16")
    slow: NodeDescription = replace(found, precision="float32")
    assert agreed_precision("auto", [fast, fast]) == "mixed_bfloat16"
    assert agreed_precision("auto", [fast, slow]) == "float32"
    assert agreed_precision("auto", []) == "float32"
    assert agreed_precision("mixed_bfloat16", [slow]) == "mixed_bfloat16"


def test_a_sweep_goes_on_over_nodes_that_die_one_after_the_other(
    cluster: NearCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole loop, and the values of an undisturbed sweep on local workers."""
    monkeypatch.setattr("search.executors.ray.scout._LOOK_EVERY_S", 0.05)
    cluster.names = ["a", "b"]
    budget = BudgetSettings(trials=4)
    sweep = CheapSweep(tmp_path / "disturbed", budget=budget, settings=CheapSettings(seconds_per_epoch=0.02))
    names = iter(("c", "d"))
    n_deaths = 0

    def die_at(number: int, report: object) -> PruningDecision:
        nonlocal n_deaths
        if n_deaths < 2 and number in (1, 2) and n_deaths < number:
            n_deaths += 1
            cluster.names.append(next(names))
            cluster.leave(cluster.names[0])
        return PruningDecision.GO

    with sweep.open() as ledger:
        engine = ScriptedEngine(on_report=die_at)
        outcome = run_sweep(ledger, sweep.plan(), engine, near_executor(cluster), progress=sweep.progress)
    undisturbed = CheapSweep(tmp_path / "undisturbed", budget=budget)
    undisturbed.launch()
    assert outcome.n_by_state == {TrialState.COMPLETED: 4}
    disturbed = read_ledger(sweep.folder).trials.values()
    assert sum(len(trial.nodes_lost_at) for trial in disturbed) >= 1
    assert [trial.value for trial in disturbed] == [
        trial.value for trial in read_ledger(undisturbed.folder).trials.values()
    ]
    assert [trial.n_epochs for trial in disturbed] == [3, 3, 3, 3]


def test_a_node_whose_disk_is_full_rests_and_the_trial_goes_elsewhere(cluster: NearCluster, spec: TrialSpec) -> None:
    cluster.names = ["a", "b"]
    with closing(near_executor(cluster)) as executor:
        wait_until(lambda: executor.n_workers == 2, executor)
        first = executor.start(replace(spec, objective=FULL_DISK)).host
        ended = next_message(executor)
        assert isinstance(ended, WorkerEnded)
        assert (ended.result.failure, ended.resting) == (FailureKind.DISK_FULL, f"node {first}")
        assert executor.n_workers == 1
        assert executor.start(replace(spec, attempt=2)).host != first


def test_a_node_rests_longer_each_time_until_an_epoch_comes(cluster: NearCluster) -> None:
    with closing(near_executor(cluster)) as executor:
        node: Node = executor._living_nodes()[0]
        node.rest()
        first_s = node.rests_until_s - time.monotonic()
        node.rest()
        assert node.rests_until_s - time.monotonic() == pytest.approx(2 * first_s, abs=0.5)
        executor.poll(0)
        assert executor.n_workers == 0
        node.note_progress()
        node.rest()
        assert node.rests_until_s - time.monotonic() == pytest.approx(first_s, abs=0.5)


def test_nodes_that_cannot_read_the_settings_are_refused_with_what_is_missing(
    cluster: NearCluster, spec: TrialSpec
) -> None:
    with (
        settings_of_the_driver_alone() as settings,
        pytest.raises(ExecutorError, match=r"a cannot run this sweep's trials\. .*No module named 'module_of_the"),
    ):
        near_executor(cluster, first_task=replace(spec, settings=settings))
    assert all(link.agent._is_closed.is_set() for link in cluster.links), "its agent was ended"


def test_nodes_without_the_user_s_own_code_are_refused_with_its_name(cluster: NearCluster, tmp_path: Path) -> None:
    task = OwnTask(FunctionReference("nowhere_here:run"), "val/loss", checkpoints=False, patches=None)
    with pytest.raises(ExecutorError, match=r"'nowhere_here:run' cannot be imported: No module named 'nowhere_here'\."):
        near_executor(cluster, first_task=code_trial(task, tmp_path))


def test_a_node_that_has_what_trials_need_is_used_and_keeps_nothing_of_the_try(
    cluster: NearCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "driver" / "own_code"
    folder.mkdir(parents=True)
    (folder / "only_sent.py").write_text("def run(trial):\n    return 1.0\n")
    (folder.parent / LEDGER_NAME).write_text("")
    task = OwnTask(FunctionReference("only_sent:run", folder), "val/loss", checkpoints=False, patches=None)
    with closing(near_executor(cluster, first_task=code_trial(task, tmp_path))) as executor:
        assert executor.n_workers == 1
        assert list(cluster.scratch.glob("a/sessions/*/trials/*")) == []


def code_trial(task: OwnTask, folder: Path) -> TrialSpec:
    settings = CodeTrial(CHEAP, task)
    return TrialSpec.of_task(TRY_CODE, settings, folder / "task", precision="float32", seed=1, threads=1)


def test_a_node_that_is_being_prepared_is_waited_for_however_long_it_takes(
    cluster: NearCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one precision suits those that are there, and none is waited for in vain."""
    recruit = cluster.recruit

    def recruit_slowly(node_id: str, setup: AgentSetup) -> NearLink:
        time.sleep(0.3)
        return recruit(node_id, setup)

    monkeypatch.setattr(cluster, "recruit", recruit_slowly)
    with closing(near_executor(cluster, first_node_s=0.0)) as executor:
        assert [found.host for found in executor.descriptions] == ["a"]
    cluster.names.clear()
    with closing(near_executor(cluster, first_node_s=0.0)) as executor:
        assert executor.n_workers == 0


def test_a_refused_node_is_said_once_and_the_others_train(
    cluster: NearCluster, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.executors.ray.scout._LOOK_EVERY_S", 0.05)
    cluster.names = ["a", "b"]
    cluster.change = lambda found: replace(found, versions={} if found.host == "b" else found.versions)
    said: list[str] = []
    with closing(near_executor(cluster, say=said.append)) as executor:
        wait_until(lambda: any("on b " in line for line in said), executor)
        assert executor.start(spec).host == "a"
        assert isinstance(next_message(executor), WorkerReported)
        assert executor.n_workers == 1
        assert sum("A node is not used" in line for line in said) == 1
        assert len(cluster.links) == 2, "it is not asked again"


def test_versions_of_packages_that_own_code_imports_are_compared(tmp_path: Path) -> None:
    assert deciding_versions(["pytest", "not-installed-anywhere"])["pytest"] == pytest.__version__
    cluster = NearCluster(tmp_path, change=lambda found: replace(found, versions={**found.versions, "pytest": "1.0"}))
    setup = AgentSetup("", None, 1, 1, packages=("pytest",))
    with pytest.raises(ExecutorError, match=rf"on a pytest is 1\.0, here it is {pytest.__version__}"):
        ClusterExecutor(cluster, setup)
