"""Trials on the nodes of a cluster, which may come and go while a sweep runs.

On each node an agent works with today's local executor inside (`agent.py`). This file knows trials,
tickets and nodes; what finds nodes and reaches them is a `Cluster` (`cluster.py`, with Ray).
"""

import itertools
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from search.executors.base import (
    ExecutorError,
    Message,
    WorkerEnded,
    WorkerLost,
    WorkerPlace,
    WorkerReported,
)
from search.executors.ray.cargo import cargo_of
from search.executors.ray.node import (
    PATIENCE_S,
    AgentLink,
    Assignment,
    Node,
    keep_files,
)
from search.executors.ray.parcels import (
    AgentSetup,
    CarriedFile,
    NodeDescription,
    PackedSpec,
    Parcel,
    StartOrder,
    paths_in,
)
from search.executors.ray.scout import Cluster, Scout
from search.ledger.trial import FailureKind, PruningDecision, TrialSpec

_FIRST_NODE_S = 90.0
_NOT_STARTED = "not started"


class ClusterExecutor:
    """Trains trials on all nodes of a cluster. See `search.executors.base.Executor`.

    `n_workers` follows the nodes: one that joins is used within seconds, one that is gone gives its
    trials back as lost with their node.
    """

    def __init__(
        self,
        cluster: Cluster,
        setup: AgentSetup,
        *,
        first_task: TrialSpec | None = None,
        say: Callable[[str], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
        first_node_s: float = _FIRST_NODE_S,
    ) -> None:
        """Recruit the nodes that are there, and wait for the first.

        Args:
            cluster: closed with this.
            setup: of the agents; their session is set here.
            first_task: run on each node before a trial is: it has the trials' settings, and the
                files that they name are brought to the nodes. Where it fails, the node is refused.
            say: takes what the user should know.
            patience_s: so long a node may be unreachable before it is lost.
            first_node_s: so long the first node is waited for, and until one that is there has what
                trials read; then it goes on without.

        Raises:
            ExecutorError: if there is more to bring to nodes than is sent, the task cannot be
                pickled, or every node is refused.
        """
        self._cluster, self._patience_s = cluster, patience_s
        self._setup = replace(setup, session=f"{os.getpid()}-{secrets.token_hex(4)}")
        cargo = cargo_of(paths_in(first_task and first_task.settings))
        task = None if first_task is None else PackedSpec.of(first_task)
        self._lock = threading.Lock()
        self._nodes: dict[str, Node] = {}
        self._assignments: dict[int, Assignment] = {}
        self._trials: dict[int, int] = {}
        self._tickets = itertools.count(1)
        self._said: queue.SimpleQueue[tuple[int, Message] | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._n_workers = 0
        self._scout = Scout(cluster, self._setup, cargo, task, self._add_node, say)
        try:
            self._wait_for_first_node(first_node_s)
        except BaseException:
            self.close()
            raise

    @property
    def n_workers(self) -> int:
        """How many trials may run at once; changes in `poll`."""
        return self._n_workers

    @property
    def threads(self) -> int:
        """How many threads each worker may use; where that is the node's to say, the fewest."""
        if self._setup.threads != "auto":
            return self._setup.threads
        return min((node.description.threads for node in self._living_nodes()), default=1)

    @property
    def descriptions(self) -> tuple[NodeDescription, ...]:
        """Of the nodes that are used now."""
        return tuple(node.description for node in self._living_nodes())

    def start(self, spec: TrialSpec) -> WorkerPlace:
        """Have a worker started on the node with the most free places, and say where.

        Raises:
            ExecutorError: if no worker is free, `spec` cannot be pickled, or its checkpoint cannot
                be read.
        """
        packed = PackedSpec.of(spec)
        with self._lock:
            free = {node_id: self._n_free(node) for node_id, node in self._nodes.items() if not node.is_resting}
            node_id = max(free, key=lambda each: free[each], default="")
            if spec.number in self._trials or not node_id or free[node_id] < 1:
                n_busy = len(self._assignments)
                raise ExecutorError(f"A free worker is needed, but got trial {spec.number} with {n_busy} busy.")
            checkpoint = _read_checkpoint(spec)
            node, ticket = self._nodes[node_id], next(self._tickets)
            self._assignments[ticket] = Assignment(ticket, spec, node)
            self._trials[spec.number] = ticket
        node.start(StartOrder(ticket, packed, checkpoint))
        found = node.description
        threads = found.threads if self._setup.threads == "auto" else spec.threads
        return WorkerPlace(found.host, threads, cpu=found.cpu)

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what the workers said, as soon as there is something or `wake` is called, or
        nothing in time.
        """
        messages: list[Message] = []
        item: tuple[int, Message] | None = None
        ends_s = time.monotonic() + timeout_s
        while True:
            try:
                wait_s = 0.0 if messages else max(0.0, ends_s - time.monotonic())
                item = self._said.get(timeout=wait_s) if wait_s else self._said.get_nowait()
            except queue.Empty:
                break
            if item is None:
                break
            messages += self._taken(*item)
        self._count_workers()
        return messages

    def answer(self, number: int, decision: PruningDecision) -> None:
        """Answer the report of trial `number`; without effect if its worker died meanwhile."""
        assignment = self._assignments.get(self._trials.get(number, 0))
        if assignment is not None:
            assignment.node.answer(assignment.ticket, decision)

    def kill(self, number: int) -> None:
        """End the worker of trial `number` at once; no message follows."""
        with self._lock:
            assignment = self._assignments.pop(self._trials.pop(number, 0), None)
        if assignment is not None:
            assignment.node.kill(assignment.ticket)
            self._count_workers()

    def wake(self) -> None:
        """Make a running or the next `poll` return. May be called from any thread and from a signal
        handler.
        """
        self._said.put(None)

    def close(self) -> None:
        """End all agents and their workers, and leave the cluster. May be called twice."""
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._scout.close()
        with self._lock:
            nodes = list(self._nodes.values())
            self._nodes.clear()
            self._assignments.clear()
        ends = [threading.Thread(target=node.close, name="end-node", daemon=True) for node in nodes]
        for end in ends:
            end.start()
        for end in ends:
            end.join()
        self._cluster.close()

    # Messages.

    def _taken(self, ticket: int, message: Message) -> list[Message]:
        """A message for the loop; none if its trial was given up meanwhile."""
        with self._lock:
            assignment = self._assignments.get(ticket)
            if assignment is None:
                return []
            if not isinstance(message, WorkerReported):
                del self._assignments[ticket], self._trials[message.number]
        node = assignment.node
        if isinstance(message, WorkerReported):
            node.note_progress()
        elif isinstance(message, WorkerEnded) and message.result.failure is FailureKind.DISK_FULL:
            node.rest()
            return [replace(message, resting=node.name)]
        elif isinstance(message, WorkerLost) and message.reason.startswith(_NOT_STARTED):
            node.rest()
        return [message]

    def _take_parcel(self, node: Node, parcel: Parcel) -> None:
        """In the node's thread: files first, then the message."""
        assignment = self._assignments.get(parcel.ticket)
        if assignment is None:
            return

        def is_wanted() -> bool:
            return not self._is_closed.is_set() and parcel.ticket in self._assignments

        try:
            message = keep_files(assignment, parcel, is_wanted)
        except OSError as error:
            node.kill(parcel.ticket)
            message = _node_loss(assignment, f"cut off from its files: {error}")
        self._said.put((parcel.ticket, message))

    def _lose_node(self, node: Node, reason: str) -> None:
        """In the node's thread: give its trials back."""
        with self._lock:
            left = [each for each, found in self._nodes.items() if found is node]
            for node_id in left:
                del self._nodes[node_id]
            lost = [each for each in self._assignments.values() if each.node is node]
        for assignment in lost:
            self._said.put((assignment.ticket, _node_loss(assignment, f"{reason} ({node.description.host})")))
        self._said.put(None)
        for node_id in left:
            self._scout.release(node_id)

    # Nodes.

    def _add_node(self, node_id: str, link: AgentLink, description: NodeDescription) -> None:
        """In a thread of the scout's."""
        with self._lock:
            self._nodes[node_id] = Node(link, description, self._take_parcel, self._lose_node, self._patience_s)
        self._said.put(None)

    def _living_nodes(self) -> tuple[Node, ...]:
        with self._lock:
            return tuple(self._nodes.values())

    def _n_free(self, node: Node) -> int:
        n_busy = sum(assignment.node is node for assignment in self._assignments.values())
        return max(0, node.description.n_workers - n_busy)

    def _count_workers(self) -> None:
        with self._lock:
            n_free = sum(self._n_free(node) for node in self._nodes.values() if not node.is_resting)
            self._n_workers = len(self._assignments) + n_free

    def _wait_for_first_node(self, patience_s: float) -> None:
        ends_s = time.monotonic() + patience_s
        may_come = True
        while may_come and not self._living_nodes():
            time.sleep(0.02)
            may_come = time.monotonic() < ends_s or self._scout.is_preparing
            if refusal := self._scout.refusal:
                raise ExecutorError(refusal)
        self._count_workers()


def agreed_precision(choice: str, descriptions: Sequence[NodeDescription]) -> Literal["float32", "mixed_bfloat16"]:
    """One precision for all nodes: for `auto`, the faster one only where it suits each of them."""
    if choice == "auto":
        choice = "mixed_bfloat16" if {each.precision for each in descriptions} == {"mixed_bfloat16"} else "float32"
    return "mixed_bfloat16" if choice == "mixed_bfloat16" else "float32"


def _node_loss(assignment: Assignment, reason: str) -> WorkerLost:
    number, attempt = assignment.spec.number, assignment.spec.attempt
    return WorkerLost(number, attempt, None, reason, "", FailureKind.NODE_LOST)


def _read_checkpoint(spec: TrialSpec) -> CarriedFile | None:
    if spec.checkpoint is None:
        return None
    path = spec.checkpoint.path
    try:
        return CarriedFile.read(path, path.relative_to(path.parent))
    except OSError as error:
        raise ExecutorError(f"The checkpoint {path} must be readable, to be sent to a node, but: {error}.") from error
