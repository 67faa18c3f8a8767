"""What `whosehand doctor --cluster` looks at on every node of a cluster, before a sweep does."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rich.filesize import decimal

from core.errors import WhosehandError
from search.executors.base import ExecutorError
from search.executors.ray.cluster import AUTH, MEMORY_MONITOR, NICENESS, USAGE, RayCluster
from search.executors.ray.node import AgentLink
from search.executors.ray.parcels import AgentSetup, NodeDescription
from search.executors.ray.versions import deciding_versions, differences
from search.experiment.settings import ExecutorSettings
from search.upkeep.machine_checks import NOTE_BYTES, PROBLEM_BYTES, Finding, note, ok, problem

_MOST_CLOCK_S = 5.0
_PIECE_BYTES = 1_000_000  # goes through the object store, as line stores and checkpoints do


def examine_cluster(settings: ExecutorSettings) -> list[Finding]:
    """Join a cluster, put an agent on each node, and compare the nodes with this machine.

    Args:
        settings: of the experiment, or the defaults.
    """
    try:
        return examine_nodes(RayCluster(settings.address), settings)
    except WhosehandError as error:
        return [problem("cluster", str(error))]


class ExaminedLink(AgentLink, Protocol):
    """Calls an agent, and says what only a doctor wants to know."""

    def echo(self, content: bytes) -> bytes:
        """Send a piece there and back."""
        ...

    def variables(self) -> dict[str, str]:
        """What Ray was told there."""
        ...


class ExaminedCluster(Protocol):
    """A cluster whose nodes can be examined."""

    def node_ids(self) -> Sequence[str]:
        """The nodes that live now."""
        ...

    def name_of(self, node_id: str) -> str:
        """A node's name for people."""
        ...

    def recruit(self, node_id: str, setup: AgentSetup) -> ExaminedLink:
        """Put an agent on a node."""
        ...

    def close(self) -> None:
        """Leave the cluster."""
        ...


def examine_nodes(cluster: ExaminedCluster, settings: ExecutorSettings) -> list[Finding]:
    """Examine the nodes of a cluster that was joined, and leave it. See `examine_cluster`."""
    try:
        node_ids = cluster.node_ids()
        findings = [ok("cluster", f"joined at {settings.address}: {len(node_ids)} node{'s' * (len(node_ids) != 1)}")]
        described: list[NodeDescription] = []
        for node_id in node_ids:
            findings += _examine_node(cluster, node_id, settings, described)
        return findings + list(_compare(described))
    except WhosehandError as error:
        return [problem("cluster", str(error))]
    finally:
        cluster.close()


def _examine_node(
    cluster: ExaminedCluster, node_id: str, settings: ExecutorSettings, described: list[NodeDescription]
) -> list[Finding]:
    scratch = None if settings.scratch == "auto" else Path(settings.scratch)
    link: ExaminedLink | None = None
    name = cluster.name_of(node_id)
    try:
        link = cluster.recruit(node_id, AgentSetup("doctor", scratch, settings.workers, settings.threads))
        link.describe()  # waits for the agent's start
        asked_s = time.time()
        description = link.describe()
        between_s = (asked_s + time.time()) / 2
        described.append(description)
        return [
            *_judge(name, description, description.clock_s - between_s),
            _judge_ports(name, link),
            *_judge_ray(name, link.variables()),
        ]
    except ExecutorError as error:
        return [problem(f"node {name}", str(error))]
    except WhosehandError as error:
        fix = "look at Ray's log there (/tmp/ray/session_latest/logs), and see that no firewall is between the nodes"
        return [problem(f"node {name}", f"no agent could be started: {error}", fix)]
    finally:
        if link is not None:
            link.end()


def _judge(name: str, node: NodeDescription, clock_s: float) -> Iterator[Finding]:
    topic, n_workers = f"node {name}", f"{node.n_workers} worker{'s' * (node.n_workers != 1)}"
    yield ok(topic, f"{node.cpu}; {n_workers} of {node.threads} threads; an agent answers")
    differing = differences(deciding_versions(), node.versions)
    if differing:
        fix = "install the same there (constraints.txt), and start its Ray from that environment"
        yield problem(topic, f"other versions: {'; '.join(differing)}", fix)
    if abs(clock_s) > _MOST_CLOCK_S:
        yield note(topic, f"its clock is {clock_s:+.0f} s off", "keep both by NTP; logs are hard to read")
    text = f"{decimal(node.free_bytes)} free in {node.scratch}"
    fix = "make room, or set `executor.scratch` to a larger disk"
    if node.free_bytes < PROBLEM_BYTES:
        yield problem(topic, text, fix)
    else:
        yield note(topic, text, fix) if node.free_bytes < NOTE_BYTES else ok(topic, text)


def _judge_ports(name: str, link: ExaminedLink) -> Finding:
    piece, started_s = os.urandom(_PIECE_BYTES), time.monotonic()
    try:
        is_whole = link.echo(piece) == piece
    except WhosehandError:
        is_whole = False
    seconds = time.monotonic() - started_s
    if is_whole:
        return ok(
            f"node {name}", f"its ports are open both ways: {decimal(_PIECE_BYTES)} there and back in {seconds:.2f} s"
        )
    text = f"calls come through, but {decimal(_PIECE_BYTES)} does not go there and back in {seconds:.0f} s"
    fix = "open all ports between the nodes to each other, in both directions: Ray takes many at random"
    return problem(f"node {name}", text, fix)


def _judge_ray(name: str, variables: dict[str, str]) -> Iterator[Finding]:
    topic = f"Ray on {name}"
    if variables.get(AUTH) != "token":
        text = "whoever reaches its ports can run programs as this user: there is no token"
        yield problem(topic, text, f"start Ray with {AUTH}=token on every node; docs/cluster.md shows how")
    if variables.get(MEMORY_MONITOR) != "0":
        text = "when memory runs out, Ray ends the agent and all its trials instead of the largest worker"
        yield note(topic, text, f"start Ray there with {MEMORY_MONITOR}=0")
    if variables.get(NICENESS) != "0":
        text = "Ray gives trials the niceness 15: whatever else runs there goes before them"
        yield note(topic, text, f"start Ray there with {NICENESS}=0, unless that is meant")
    if variables.get(USAGE) != "0":
        yield note(topic, "Ray reports its use to its makers", f"start Ray there with {USAGE}=0")


def _compare(nodes: Sequence[NodeDescription]) -> Iterator[Finding]:
    models = sorted({node.cpu for node in nodes})
    if len(models) > 1:
        text = f"processors differ ({', '.join(models)}): a trial that goes on elsewhere is not equal to the last bit"
        yield note("cluster", text, "nothing fails; take nodes of one model where bits must be equal")
    threads = sorted({node.threads for node in nodes})
    if len(threads) > 1:
        text = f"workers have {' or '.join(map(str, threads))} threads, and bits differ with their number"
        yield note("cluster", text, "set `executor.threads`")
