"""What the doctor says of the nodes of a cluster."""

from dataclasses import replace
from pathlib import Path

import pytest

from search.executors.base import ExecutorError
from search.executors.ray.node import NodeUnreachableError
from search.executors.ray.parcels import AgentSetup, NodeDescription
from search.experiment.settings import ExecutorSettings
from search.upkeep.cluster_checks import examine_cluster, examine_nodes
from search.upkeep.machine_checks import Finding
from tests.search.executors.ray.near_nodes import NearCluster, NearLink

GOOD = {
    "RAY_AUTH_MODE": "token",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture
def cluster(tmp_path: Path) -> NearCluster:
    return NearCluster(tmp_path, ray_variables=GOOD)


def examine(cluster: NearCluster) -> list[Finding]:
    found = examine_nodes(cluster, ExecutorSettings(name="ray", workers=1, threads=1))
    assert all(link.agent._is_closed.is_set() for link in cluster.links), "no agent is left"
    return [finding for finding in found if finding.level != "ok" and "free in" not in finding.text]


def only(findings: list[Finding], text: str) -> Finding:
    (found,) = findings
    assert text in found.text
    return found


def test_nothing_is_found_on_nodes_in_order(cluster: NearCluster) -> None:
    assert examine(cluster) == []


def test_a_node_of_another_version_is_a_problem_with_both_versions(cluster: NearCluster) -> None:
    cluster.change = lambda found: replace(found, versions={**found.versions, "keras": "2.0"})
    found = only(examine(cluster), "keras is 2.0, here it is 3.")
    assert (found.level, found.topic) == ("problem", "node a")


def test_a_clock_that_is_off_is_noted(cluster: NearCluster) -> None:
    cluster.change = lambda found: replace(found, clock_s=found.clock_s - 90)
    assert only(examine(cluster), "its clock is -90 s off").level == "note"


def test_a_full_disk_is_a_problem(cluster: NearCluster) -> None:
    cluster.change = lambda found: replace(found, free_bytes=10_000_000)
    found = examine_nodes(cluster, ExecutorSettings(name="ray", workers=1, threads=1))
    assert [each.level for each in found if "10.0 MB free in" in each.text] == ["problem"]


def test_ports_that_let_no_larger_piece_through_are_a_problem(cluster: NearCluster) -> None:
    cluster.longest_piece = 1000
    assert only(examine(cluster), "calls come through, but 1.0 MB does not").level == "problem"


def test_what_ray_should_be_told_is_said_of_a_node_where_it_was_not(cluster: NearCluster) -> None:
    cluster.ray_variables = {}
    levels = [(finding.level, finding.fix.split("RAY_")[1].split("=")[0]) for finding in examine(cluster)]
    assert levels == [
        ("problem", "AUTH_MODE"),
        ("note", "memory_monitor_refresh_ms"),
        ("note", "worker_niceness"),
        ("note", "USAGE_STATS_ENABLED"),
    ]


def test_differing_processors_and_threads_are_noted(cluster: NearCluster) -> None:
    cluster.names = ["a", "b"]

    def change(found: NodeDescription) -> NodeDescription:
        return replace(found, cpu="Another", threads=7) if found.host == "b" else found

    cluster.change = change
    assert ["processors differ" in finding.text or "7 threads" in finding.text for finding in examine(cluster)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ExecutorError("No agent can be started on a."), "No agent can be started on a."),
        (NodeUnreachableError("a did not answer."), "no agent could be started: a did not answer."),
    ],
)
def test_a_node_without_an_agent_is_a_problem(
    cluster: NearCluster, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    def recruit(node_id: str, setup: AgentSetup) -> NearLink:
        raise error

    monkeypatch.setattr(cluster, "recruit", recruit)
    assert only(examine(cluster), text).level == "problem"


def test_a_cluster_that_is_not_there_is_a_problem_that_says_how_to_start_one() -> None:
    pytest.importorskip("ray")
    (found,) = examine_cluster(ExecutorSettings(name="ray", address="127.0.0.1:1"))
    assert found.level == "problem"
    assert "ray start" in found.text
