"""Finds the nodes of a cluster, and recruits each that is there: an agent on it, the same versions,
and all that trials read.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from core.errors import WhosehandError
from search.executors.base import ExecutorError
from search.executors.ray.cargo import Cargo
from search.executors.ray.node import AgentLink, NodeGoneError, NodeUnreachableError
from search.executors.ray.parcels import AgentSetup, NodeDescription, PackedSpec
from search.executors.ray.versions import deciding_versions, differences
from search.ledger.trial import FailureKind, TrialState

_PIECE_BYTES = 16_000_000
_MUCH_BYTES = 200_000_000  # seconds on a fast line, minutes on a slow one
_LOOK_EVERY_S = 2.0
_AGAIN_S = 10.0


class Cluster(Protocol):
    """Finds nodes, and puts an agent on each."""

    def node_ids(self) -> Sequence[str]:
        """The nodes that live now.

        Raises:
            NodeUnreachableError: if nobody can say.
        """
        ...

    def recruit(self, node_id: str, setup: AgentSetup) -> AgentLink:
        """Put an agent on a node; may take seconds.

        Raises:
            NodeUnreachableError, NodeGoneError: if that fails.
        """
        ...

    def close(self) -> None:
        """Leave the cluster."""
        ...


class Scout:
    """Looks for nodes from a thread of its own, and recruits each from another."""

    def __init__(
        self,
        cluster: Cluster,
        setup: AgentSetup,
        cargo: Sequence[Cargo],
        task: PackedSpec | None,
        on_ready: Callable[[str, AgentLink, NodeDescription], None],
        say: Callable[[str], None],
    ) -> None:
        """Begin to look.

        Args:
            cluster: whose nodes.
            setup: of the agents.
            cargo: brought to each node before it counts.
            task: run there then; where it fails, the node is refused.
            on_ready: called with a node that can be used, from the thread that recruited it.
            say: takes what the user should know.
        """
        self._cluster, self._setup, self._cargo, self._task = cluster, setup, cargo, task
        self._on_ready, self._say = on_ready, say
        self._versions = deciding_versions(setup.packages)
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._recruiting: set[str] = set()
        self._refused: dict[str, str] = {}
        self._try_again_at_s: dict[str, float] = {}
        self._is_closed, self._has_looked = threading.Event(), threading.Event()
        self._recruits: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._look, name="cluster-scout", daemon=True)
        self._thread.start()

    @property
    def refusal(self) -> str:
        """Why the nodes cannot be used, where all that are there were refused; else empty."""
        with self._lock:
            if self._taken or self._recruiting or not self._refused:
                return ""
            return next(iter(self._refused.values()))

    @property
    def is_preparing(self) -> bool:
        """Whether a node may be there soon: nobody has looked yet, or one is being recruited."""
        with self._lock:
            return not self._has_looked.is_set() or bool(self._recruiting)

    def release(self, node_id: str) -> None:
        """Recruit a node again after some seconds: its agent has ended."""
        with self._lock:
            self._taken.discard(node_id)
            self._try_again_at_s[node_id] = time.monotonic() + _AGAIN_S

    def close(self) -> None:
        """Look no more; what is being recruited is ended."""
        self._is_closed.set()
        self._thread.join()
        for recruit in self._recruits:
            recruit.join(timeout=5)

    def _look(self) -> None:
        while not self._is_closed.is_set():
            try:
                found = self._cluster.node_ids()
            except (NodeUnreachableError, NodeGoneError):
                found = ()
            for node_id in self._new(found):
                self._recruits.append(
                    threading.Thread(target=self._recruit, args=(node_id,), name="recruit", daemon=True)
                )
                self._recruits[-1].start()
            self._has_looked.set()
            self._is_closed.wait(_LOOK_EVERY_S)

    def _new(self, found: Sequence[str]) -> list[str]:
        now_s = time.monotonic()
        with self._lock:
            used = {*self._taken, *self._recruiting, *self._refused}
            new = [each for each in found if each not in used and now_s >= self._try_again_at_s.get(each, 0)]
            self._recruiting.update(new)
        self._recruits = [thread for thread in self._recruits if thread.is_alive()]
        return new

    def _recruit(self, node_id: str) -> None:
        link: AgentLink | None = None
        is_used = False
        try:
            link = self._cluster.recruit(node_id, self._setup)
            description = link.describe()
            _check_versions(self._versions, description)
            for cargo in self._cargo:
                bring(cargo, link, self._is_closed, lambda text: self._say(f"Node {description.host}: {text}"))
            if self._task is not None and not self._is_closed.is_set():
                _try_out(self._task, link, description.host)
            if not self._is_closed.is_set():
                is_used = True
                with self._lock:
                    self._taken.add(node_id)
                n_workers = f"{description.n_workers} worker" + ("" if description.n_workers == 1 else "s")
                self._say(f"Node {description.host} is there, with {n_workers}.")
                self._on_ready(node_id, link, description)
        except (NodeUnreachableError, NodeGoneError) as error:
            self._postpone(node_id, error)
        except WhosehandError as error:
            with self._lock:
                self._refused[node_id] = str(error)
            self._say(f"A node is not used: {error}")
        finally:
            if link is not None and not is_used:
                link.end()
            with self._lock:
                self._recruiting.discard(node_id)

    def _postpone(self, node_id: str, error: WhosehandError) -> None:
        with self._lock:
            is_first = node_id not in self._try_again_at_s
            self._try_again_at_s[node_id] = time.monotonic() + _AGAIN_S
        if is_first and not self._is_closed.is_set():
            self._say(f"A node cannot be used yet, and is tried again: {error}")


def bring(
    cargo: Cargo, link: AgentLink, is_closed: threading.Event, say: Callable[[str], None] = lambda _: None
) -> None:
    """Send what a node has not, piece by piece, and have it checked.

    Args:
        cargo: what trials read.
        link: to the node's agent.
        is_closed: set where it is not wanted any more.
        say: takes what the user should know: much takes minutes.

    Raises:
        NodeUnreachableError, NodeGoneError: if the node cannot be reached.
        ExecutorError: if it did not arrive whole.
    """
    wanted_files, sizes = link.want(cargo), dict(cargo.sizes)
    n_bytes = sum(sizes[wanted.name] - wanted.offset for wanted in wanted_files)
    if n_bytes >= _MUCH_BYTES:
        say(f"{n_bytes / 1e9:.1f} GB of text lines are sent there, once.")
    for wanted in wanted_files:
        size, offset = sizes[wanted.name], wanted.offset
        with (cargo.base / wanted.name).open("rb") as file:
            while not is_closed.is_set():
                file.seek(offset)
                offset = link.put(cargo, wanted.name, offset, file.read(min(_PIECE_BYTES, size - offset)))
                if offset >= size:
                    break
    if not is_closed.is_set():
        link.settle(cargo)


def _check_versions(here: Mapping[str, str], description: NodeDescription) -> None:
    differing = differences(here, description.versions)
    if differing:
        raise ExecutorError(
            f"All nodes must have the same versions as the driver, but on {description.host} {'; '.join(differing)}. "
            "Install the same there (constraints.txt), and start its Ray from that environment."
        )


def _try_out(task: PackedSpec, link: AgentLink, host: str) -> None:
    """Have a node read and import what its trials will need.

    Raises:
        ExecutorError: if it cannot.
        NodeUnreachableError: if the node cannot work at the moment, such as with a full disk.
    """
    try:
        result = link.try_out(task)
    except ExecutorError as error:
        raise ExecutorError(f"{host} can start no worker. {error}") from error
    if result.state is TrialState.COMPLETED:
        return
    if result.failure is not FailureKind.ERROR:
        raise NodeUnreachableError(f"{host} cannot work yet: {result.reason}")
    raise ExecutorError(
        f"{host} cannot run this sweep's trials. {result.reason.rstrip('.')}. Have there what the driver has: the same "
        "packages in the same versions, and what your own code imports; then start its Ray again."
    )
