"""Nodes in this process: real agents with real workers, and a line to them that can be cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from search.executors.ray.agent import NodeAgent
from search.executors.ray.cargo import Cargo, Wanted
from search.executors.ray.executor import ClusterExecutor
from search.executors.ray.node import NodeGoneError, NodeUnreachableError
from search.executors.ray.parcels import AgentSetup, Exchange, NodeDescription, Order, PackedSpec
from search.ledger.trial import TrialResult


@dataclass
class NearLink:
    """Calls an agent of this process; what it loses on the way is for a test to say.

    Attributes:
        agent: that is called.
        name: of the node.
        is_cut: no call comes through.
        is_dead: the agent has died.
        loses_orders: orders are lost unless an exchange brings them.
        n_lost_replies: so many of the next exchanges happen, and their replies are lost.
        longest_piece: bytes that come through.
        ray_variables: of Ray there.
        change: what is made of a description.
    """

    agent: NodeAgent
    name: str
    is_cut: bool = False
    is_dead: bool = False
    loses_orders: bool = False
    n_lost_replies: int = 0
    n_put_bytes: int = 0
    change: Callable[[NodeDescription], NodeDescription] = lambda description: description
    longest_piece: int = 10**9
    ray_variables: dict[str, str] = field(default_factory=dict)

    def describe(self) -> NodeDescription:
        self._check()
        return self.change(replace(self.agent.describe(), host=self.name))

    def echo(self, content: bytes) -> bytes:
        self._check()
        return content[: self.longest_piece]

    def variables(self) -> dict[str, str]:
        self._check()
        return self.ray_variables

    def want(self, cargo: Cargo) -> tuple[Wanted, ...]:
        self._check()
        return self.agent.want(cargo)

    def put(self, cargo: Cargo, name: str, offset: int, content: bytes) -> int:
        self._check()
        self.n_put_bytes += len(content)
        return self.agent.put(cargo, name, offset, content)

    def settle(self, cargo: Cargo) -> None:
        self._check()
        self.agent.settle(cargo)

    def try_out(self, task: PackedSpec) -> TrialResult:
        self._check()
        return self.agent.try_out(task)

    def exchange(self, acknowledged: int, orders: Sequence[Order]) -> Exchange:
        self._check()
        exchanged = self.agent.exchange(acknowledged, orders, wait_s=0.05 if self.loses_orders else 0.5)
        self._check()
        if self.n_lost_replies and exchanged.parcels:
            self.n_lost_replies -= 1
            raise NodeUnreachableError("The reply was lost.")
        return exchanged

    def take(self, orders: Sequence[Order]) -> None:
        if not (self.is_cut or self.is_dead or self.loses_orders):
            self.agent.take(orders)

    def end(self) -> None:
        self.agent.close()

    def die(self) -> None:
        """What a machine does whose cable and power are pulled."""
        self.is_dead = True
        self.agent.close()

    def _check(self) -> None:
        if self.is_dead:
            raise NodeGoneError("The agent has died.")
        if self.is_cut:
            raise NodeUnreachableError("The cable is pulled.")


@dataclass
class NearCluster:
    """Nodes that join when a test says so."""

    scratch: Path
    names: list[str] = field(default_factory=lambda: ["a"])
    change: Callable[[NodeDescription], NodeDescription] = lambda description: description
    links: list[NearLink] = field(default_factory=list)
    longest_piece: int = 10**9
    ray_variables: dict[str, str] = field(default_factory=dict)

    def name_of(self, node_id: str) -> str:
        return node_id

    def node_ids(self) -> Sequence[str]:
        return tuple(self.names)

    def recruit(self, node_id: str, setup: AgentSetup) -> NearLink:
        own = replace(setup, scratch=self.scratch / node_id, session=f"{setup.session}-{len(self.links)}")
        link = NearLink(NodeAgent(own), node_id, change=self.change)
        link.longest_piece, link.ray_variables = self.longest_piece, self.ray_variables
        self.links.append(link)
        return link

    def close(self) -> None:
        pass

    def link(self, name: str) -> NearLink:
        """The latest to a node."""
        return [link for link in self.links if link.name == name][-1]

    def leave(self, name: str) -> None:
        """Let a node die and not come back."""
        self.names.remove(name)
        self.link(name).die()


def near_executor(cluster: NearCluster, n_workers: int = 1, threads: int = 1, **more: object) -> ClusterExecutor:
    setup = AgentSetup("", None, n_workers, threads)
    return ClusterExecutor(cluster, setup, **more)  # type: ignore[arg-type]
