"""A node as the driver sees it: the line to its agent, and the files that come over it."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from core.durable_files import write_atomically
from core.errors import WhosehandError
from search.executors.base import LOG_NAME, Message, WorkerReported
from search.executors.ray.cargo import Cargo, Wanted
from search.executors.ray.parcels import (
    AnswerOrder,
    Exchange,
    KillOrder,
    NodeDescription,
    Order,
    PackedSpec,
    Parcel,
    StartOrder,
    references_of,
    with_references,
)
from search.ledger.files import is_intact
from search.ledger.trial import PruningDecision, TrialResult, TrialSpec, is_disk_full

PATIENCE_S = 60.0
"""So long a node may be unreachable before it counts as lost."""
_PAUSE_S = 1.0
_FIRST_REST_S, _LONGEST_REST_S = 5.0, 300.0
_N_KEPT = 2  # as in `core.training.checkpoint`


class NodeUnreachableError(WhosehandError):
    """A call did not come back: the node may be busy, cut off or gone."""


class NodeGoneError(WhosehandError):
    """The agent, or its node, has died."""


class AgentLink(Protocol):
    """Calls a `NodeAgent`, wherever it is. Each method but `take` and `end` waits, and raises
    `NodeUnreachableError` or `NodeGoneError`.
    """

    def describe(self) -> NodeDescription:
        """What the node is."""
        ...

    def want(self, cargo: Cargo) -> tuple[Wanted, ...]:
        """What of the cargo must be sent."""
        ...

    def put(self, cargo: Cargo, name: str, offset: int, content: bytes) -> int:
        """Send a piece of a file; returns how many bytes are there."""
        ...

    def settle(self, cargo: Cargo) -> None:
        """Have the cargo checked and used."""
        ...

    def try_out(self, task: PackedSpec) -> TrialResult:
        """Run a task there, as trials will be."""
        ...

    def exchange(self, acknowledged: int, orders: Sequence[Order]) -> Exchange:
        """Send orders again, and wait for parcels."""
        ...

    def take(self, orders: Sequence[Order]) -> None:
        """Send orders; returns at once, and they may be lost."""
        ...

    def end(self) -> None:
        """End the agent and all that it started."""
        ...


@dataclass
class Assignment:
    """A trial on a node.

    Attributes:
        ticket: of this start.
        spec: as the loop gave it.
        node: where it is.
        checkpoints: that came, in order; the older ones are removed.
    """

    ticket: int
    spec: TrialSpec
    node: "Node"
    checkpoints: list[Path] = field(default_factory=list)


class Node:
    """Sends orders to an agent and takes its parcels, from a thread of its own."""

    def __init__(
        self,
        link: AgentLink,
        description: NodeDescription,
        on_parcel: Callable[["Node", Parcel], None],
        on_gone: Callable[["Node", str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Begin to exchange.

        Args:
            link: to the agent.
            description: what it said that it is.
            on_parcel: called from the node's thread, once for each parcel, in order.
            on_gone: called from the node's thread, once, with the reason in a form that goes on
                after `it was`; then the thread ends.
            patience_s: so long the node may be unreachable.
        """
        self.description = description
        self.rests_until_s = 0.0
        self._rest_s = _FIRST_REST_S
        self._link, self._on_parcel, self._on_gone, self._patience_s = link, on_parcel, on_gone, patience_s
        self._lock = threading.Lock()
        self._orders: deque[Order] = deque()
        self._n_orders = self._n_parcels = 0
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"node-{description.host}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """In messages."""
        return f"node {self.description.host}"

    @property
    def is_resting(self) -> bool:
        """Whether nothing starts there for the moment."""
        return time.monotonic() < self.rests_until_s

    def rest(self) -> None:
        """Start nothing there for a while, each time for twice as long until an epoch comes."""
        self.rests_until_s = time.monotonic() + self._rest_s
        self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)

    def note_progress(self) -> None:
        """An epoch came: the next rest is a short one again."""
        self._rest_s = _FIRST_REST_S

    def start(self, order: StartOrder) -> None:
        """Have a worker started."""
        self._send(order)

    def answer(self, ticket: int, decision: PruningDecision) -> None:
        """Have a worker's report answered."""
        self._send(AnswerOrder(ticket, decision))

    def kill(self, ticket: int) -> None:
        """Have a worker ended."""
        self._send(KillOrder(ticket))

    def close(self) -> None:
        """End the agent; nothing is called any more."""
        self._is_closed.set()
        self._link.end()

    def _send(self, what: StartOrder | AnswerOrder | KillOrder) -> None:
        with self._lock:
            self._n_orders += 1
            order = Order(self._n_orders, what)
            self._orders.append(order)
        self._link.take([order])

    def _run(self) -> None:
        failing_since_s: float | None = None
        while not self._is_closed.is_set():
            try:
                exchange = self._link.exchange(self._n_parcels, self._pending())
                failing_since_s = None
            except NodeGoneError:
                self._leave("gone: its Ray processes have ended")
                return
            except NodeUnreachableError:
                failing_since_s = failing_since_s or time.monotonic()
                if time.monotonic() - failing_since_s > self._patience_s:
                    self._leave(f"unreachable for {self._patience_s:.0f} s")
                    return
                self._is_closed.wait(_PAUSE_S)
                continue
            except WhosehandError as error:
                self._leave(f"of no use: {error}")
                return
            self._settle_orders(exchange.n_orders)
            for parcel in exchange.parcels:
                if parcel.seq > self._n_parcels and not self._is_closed.is_set():
                    self._on_parcel(self, parcel)
                    self._n_parcels = parcel.seq

    def _leave(self, reason: str) -> None:
        self._link.end()
        if not self._is_closed.is_set():
            self._on_gone(self, reason)

    def _pending(self) -> tuple[Order, ...]:
        with self._lock:
            return tuple(self._orders)

    def _settle_orders(self, n_taken: int) -> None:
        with self._lock:
            while self._orders and self._orders[0].seq <= n_taken:
                self._orders.popleft()


def keep_files(assignment: Assignment, parcel: Parcel, is_wanted: Callable[[], bool]) -> Message:
    """Write what a parcel brings below the trial's folder, check it, and give the message with the
    files' places there.

    A full disk is waited for: the worker waits for its answer meanwhile.

    Args:
        assignment: that the parcel belongs to.
        parcel: of the agent.
        is_wanted: whether the trial still waits for it.

    Raises:
        OSError: if the files cannot be written for another reason, or are not whole.
    """
    folder = assignment.spec.work_dir
    while True:
        try:
            _write_all(folder, parcel)
            break
        except OSError as error:
            if not is_disk_full(error) or not is_wanted():
                raise
            time.sleep(_PAUSE_S)
    message = with_references(parcel.message, {each.path: folder / each.path for each in references_of(parcel.message)})
    for reference in references_of(message):
        if not is_intact(reference):
            raise OSError(f"{reference.path} must have the hash {reference.sha256[:12]}, but arrived otherwise")
    if isinstance(message, WorkerReported) and message.report.checkpoint is not None:
        _remove_older(assignment, message.report.checkpoint.path)
    return message


def _write_all(folder: Path, parcel: Parcel) -> None:
    for file in parcel.files:
        if not file.is_whole:
            raise OSError(f"{file.path} did not arrive whole")
        write_atomically(folder / file.path, file.content)
    if parcel.log:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_NAME).open("ab") as log:
            log.write(parcel.log)


def _remove_older(assignment: Assignment, checkpoint: Path) -> None:
    """Keep the latest two: this one is in no ledger yet."""
    assignment.checkpoints.append(checkpoint)
    for path in assignment.checkpoints[:-_N_KEPT]:
        with contextlib.suppress(OSError):
            path.unlink()
    del assignment.checkpoints[:-_N_KEPT]
