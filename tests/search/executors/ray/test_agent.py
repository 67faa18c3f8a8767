"""An agent, called like any object."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from search.executors.base import WorkerEnded, WorkerLost, WorkerReported
from search.executors.local.executor import LocalExecutor
from search.executors.ray.agent import NodeAgent
from search.executors.ray.parcels import AgentSetup, AnswerOrder, KillOrder, Order, PackedSpec, Parcel, StartOrder
from search.executors.ray.versions import deciding_versions
from search.ledger.trial import EpochReport, FailureKind, FileReference, PruningDecision, TrialSpec
from search.objectives.cheap import CheapSettings
from tests.search.cheap_sweep import CHEAP

MakeAgent = Callable[..., NodeAgent]


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    agents: list[NodeAgent] = []

    def make(**values: object) -> NodeAgent:
        setup = AgentSetup(f"session-{len(agents)}", tmp_path / "scratch", 1, 1)
        agents.append(NodeAgent(replace(setup, **values)))  # type: ignore[arg-type]
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    settings = CheapSettings()
    return TrialSpec("s", 0, 1, CHEAP, {"x": 0.5}, 1, 0, 2, 2, 1, "float32", None, tmp_path / "driver" / "0", settings)


def next_parcel(agent: NodeAgent, acknowledged: int = 0) -> Parcel:
    ends_s = time.monotonic() + 30
    while time.monotonic() < ends_s:
        exchanged = agent.exchange(acknowledged, wait_s=1)
        if exchanged.parcels:
            return exchanged.parcels[0]
    raise TimeoutError("The agent said nothing.")


def test_a_parcel_is_given_again_until_it_is_acknowledged(make_agent: MakeAgent, spec: TrialSpec) -> None:
    agent = make_agent()
    agent.take([Order(1, StartOrder(7, PackedSpec.of(spec), None))])
    parcel = next_parcel(agent)
    assert (parcel.seq, parcel.ticket, type(parcel.message)) == (1, 7, WorkerReported)
    assert next_parcel(agent) == parcel
    assert agent.exchange(1, wait_s=0.05).parcels == ()


def test_large_parcels_travel_one_by_one(
    make_agent: MakeAgent, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(workers=2)
    agent.take([Order(n, StartOrder(n, PackedSpec.of(replace(spec, number=n)), None)) for n in (1, 2)])
    while len(both := agent.exchange(0, wait_s=0.2).parcels) < 2:
        pass
    monkeypatch.setattr("search.executors.ray.agent._EXCHANGE_BYTES", 1)
    assert agent.exchange(0).parcels == both[:1]
    assert agent.exchange(both[0].seq).parcels == both[1:]


def test_what_a_lost_trial_said_before_does_not_end_the_agent(
    make_agent: MakeAgent, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    reported = WorkerReported(0, 1, EpochReport(1, {}, 0, 0.0, FileReference(Path("/nowhere"), "0" * 64, 1)))
    lost = WorkerLost(0, 1, 9, "killed", "", FailureKind.WORKER_LOST)
    said = [[reported, lost]]
    monkeypatch.setattr(
        LocalExecutor, "poll", lambda *_: said.pop() if agent.exchange(0, wait_s=0).n_orders and said else []
    )
    agent.take([Order(1, StartOrder(7, PackedSpec.of(spec), None))])
    message = next_parcel(agent).message
    assert isinstance(message, WorkerLost)
    assert message.failure is FailureKind.NODE_LOST
    assert agent.exchange(1, wait_s=0.2).parcels == ()


def test_orders_are_followed_once_and_in_their_order(make_agent: MakeAgent, spec: TrialSpec) -> None:
    agent = make_agent()
    go = PruningDecision.GO
    start, first, second = (
        Order(1, StartOrder(7, PackedSpec.of(spec), None)),
        *(Order(n, AnswerOrder(7, go)) for n in (2, 3)),
    )
    agent.take([first, start])
    assert next_parcel(agent).seq == 1
    agent.take([start, first])
    reported = next_parcel(agent, 1).message
    assert isinstance(reported, WorkerReported)
    assert reported.report.epoch == 2, "the first answer was taken once"
    agent.take([second])
    assert isinstance(next_parcel(agent, 2).message, WorkerEnded)
    assert agent.exchange(3, wait_s=0).n_orders == 3


def test_paths_in_a_parcel_are_relative_and_its_files_whole(make_agent: MakeAgent, spec: TrialSpec) -> None:
    agent = make_agent()
    agent.take([Order(1, StartOrder(7, PackedSpec.of(spec), None))])
    parcel = next_parcel(agent)
    assert isinstance(parcel.message, WorkerReported)
    checkpoint = parcel.message.report.checkpoint
    assert checkpoint is not None
    assert checkpoint.path == Path("checkpoints/epoch-1.json")
    assert [(file.path, file.sha256, file.is_whole) for file in parcel.files] == [
        (checkpoint.path, checkpoint.sha256, True)
    ]
    assert not replace(parcel.files[0], content=b"other").is_whole


def test_workers_are_ended_when_the_driver_is_silent_for_the_lease(make_agent: MakeAgent, spec: TrialSpec) -> None:
    agent = make_agent(lease_s=0.2)
    slow = replace(spec, settings=CheapSettings(seconds_per_epoch=60))
    agent.take([Order(1, StartOrder(7, PackedSpec.of(slow), None))])
    time.sleep(1.0)
    assert not _own_workers()
    lost = next_parcel(agent).message
    assert isinstance(lost, WorkerLost)
    assert lost.failure is FailureKind.NODE_LOST
    assert "without a word from the driver" in lost.reason


def _own_workers() -> list[int]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and "session-" in str(process.open_files()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_killed_trial_says_nothing_and_leaves_nothing(make_agent: MakeAgent, spec: TrialSpec, tmp_path: Path) -> None:
    agent = make_agent()
    agent.take([Order(1, StartOrder(7, PackedSpec.of(spec), None))])
    assert next_parcel(agent).seq == 1
    agent.take([Order(2, KillOrder(7)), Order(3, AnswerOrder(7, PruningDecision.GO))])
    assert agent.exchange(1, wait_s=0.2).parcels == ()
    assert list((tmp_path / "scratch" / "sessions").glob("*/trials/*")) == []


def test_the_folder_of_an_agent_that_died_is_cleared_and_that_of_a_living_one_is_not(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    left = tmp_path / "scratch" / "sessions" / "of-a-dead-driver"
    left.mkdir(parents=True)
    (left / "checkpoint").write_bytes(b"x")
    make_agent()
    assert not left.exists()
    make_agent()
    assert len(list((tmp_path / "scratch" / "sessions").iterdir())) == 2


def test_when_memory_runs_out_the_largest_worker_is_ended_first(
    make_agent: MakeAgent, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    agent.take([Order(1, StartOrder(7, PackedSpec.of(spec), None))])
    next_parcel(agent)
    monkeypatch.setattr("search.executors.ray.agent.free_memory_bytes", lambda: 1_000)
    lost = next_parcel(agent, 1).message
    assert isinstance(lost, WorkerLost)
    assert lost.failure is FailureKind.OUT_OF_MEMORY


def test_a_trial_that_cannot_be_started_is_lost_with_its_node(make_agent: MakeAgent, spec: TrialSpec) -> None:
    agent = make_agent()
    agent.take([Order(n, StartOrder(n, PackedSpec.of(replace(spec, number=n)), None)) for n in (1, 2)])
    messages = [agent.exchange(0, wait_s=1).parcels for _ in range(20)][-1]
    lost = [parcel.message for parcel in messages if isinstance(parcel.message, WorkerLost)]
    assert [message.reason.startswith("not started: A free worker") for message in lost] == [True]


def test_versions_name_what_decides_scores() -> None:
    assert {"python", "whosehand", "tensorflow", "keras", "numpy", "source of whosehand"} == set(deciding_versions())
