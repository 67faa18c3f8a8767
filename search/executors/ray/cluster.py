"""The cluster as Ray sees it: which nodes live, an agent as an actor on each, and calls to it.

What Ray is trusted with: starting an actor on a given node, calling it, and saying that it has
died. Nothing is kept in Ray's object store; what is not acknowledged is sent again.
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import WhosehandError
from search.executors.base import ExecutorError
from search.executors.ray.agent import NodeAgent
from search.executors.ray.cargo import Cargo, Wanted
from search.executors.ray.node import NodeGoneError, NodeUnreachableError
from search.executors.ray.parcels import AgentSetup, Exchange, NodeDescription, Order, PackedSpec
from search.ledger.trial import TrialResult

NO_RAY = (
    "`executor.name: ray` needs Ray, which is not installed: pip install 'whosehand[ray]', on every node. Without it, "
    "`executor.name: local` trains on this machine."
)
TOO_LATE = (
    "`executor.address: local` starts Ray with a token of its own, but this program had imported Ray before, which "
    "reads such settings once. Set RAY_AUTH_MODE in the environment before, or do not import Ray."
)
AUTH, MEMORY_MONITOR = "RAY_AUTH_MODE", "RAY_memory_monitor_refresh_ms"
NICENESS, USAGE = "RAY_worker_niceness", "RAY_USAGE_STATS_ENABLED"
RAY_VARIABLES = (AUTH, MEMORY_MONITOR, NICENESS, USAGE)
"""Read by Ray where it is started; none is a secret."""
_LOCAL = {
    MEMORY_MONITOR: "0",  # or it ends the agent instead of the largest worker
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for listening at the loopback address alone
}
_CALL_S = 60.0
_ECHO_S = 20.0
_RECRUIT_S = 180.0
_WAIT_S = 10.0
_EXCHANGE_S, _LONGEST_EXCHANGE_S = 30.0, 480.0
_END_S = 5.0
_HEAD_S = 10.0
_N_CALLS = 8
_LONGEST_FOLDER = 20  # of the 107 characters that the path of a socket may have; the rest is Ray's
_OWN_PATHS = "thirdparty_files"
_NOT_THE_SAME = ("ImportError", "ModuleNotFoundError", "AttributeError", "TypeError")


class AgentActor(NodeAgent):
    """An agent as a Ray actor."""

    def __init__(self, setup: AgentSetup) -> None:
        remove_paths_of_ray()
        super().__init__(setup)

    def echo(self, content: bytes) -> bytes:
        """What was sent: large pieces take other ports than calls."""
        return content

    def variables(self) -> dict[str, str]:
        """What Ray was told here, of `RAY_VARIABLES`."""
        return {name: os.environ[name] for name in RAY_VARIABLES if name in os.environ}


class RayCluster:
    """A running Ray cluster, joined as a driver. See `search.executors.ray.executor.Cluster`."""

    def __init__(self, address: str = "auto") -> None:
        """Join it.

        Args:
            address: `auto` for the cluster that this machine belongs to, `host:port` of its head,
                or `local` for one of this machine alone, which ends with the driver.

        Raises:
            ExecutorError: if Ray is not installed, or no cluster is there.
        """
        # Ray reads them when it starts; who has set one has decided.
        os.environ.setdefault(USAGE, "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or its C++ side writes into the live table
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # or a late call starts a cluster of its own
        os.environ.setdefault(NICENESS, "0")  # 15 otherwise: whatever else runs would go before
        is_local = address == "local"
        if is_local:
            _prepare_own_cluster()
        _check_head_listens(address)
        try:
            import ray  # half a second, and not installed everywhere
        except ImportError as error:
            raise ExecutorError(NO_RAY) from error
        remove_paths_of_ray()
        self._ray = ray
        self._was_joined = bool(ray.is_initialized())
        if self._was_joined:
            return
        # Ray keeps the driver's whole command line for all nodes to read, with a password in a
        # `--set`. There is no option.
        ray._private.utils.get_entrypoint_name = lambda: "whosehand"
        own: dict[str, Any] = {"include_dashboard": False, **_short_folder()} if is_local else {}
        try:
            with _quiet_start():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
            # `log_to_driver` leaves dozens of lines on each dead raylet, which would break the live
            # table; the sweep itself says which node was lost. There is no option.
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise ExecutorError(_no_cluster(address, error)) from error

    def node_ids(self) -> Sequence[str]:
        """The nodes that live now, as Ray names them."""
        try:
            return tuple(str(node["NodeID"]) for node in self._ray.nodes() if node["Alive"])
        except Exception as error:  # whatever Ray raises while its head is away
            raise NodeUnreachableError(f"The head of the cluster does not answer ({type(error).__name__}).") from error

    def name_of(self, node_id: str) -> str:
        """A node's name and address for people; the head may be away, then the beginning of its
        id.
        """
        with contextlib.suppress(Exception):  # whatever Ray raises while its head is away
            for node in self._ray.nodes():
                if node["NodeID"] == node_id:
                    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        return node_id[:8]

    def recruit(self, node_id: str, setup: AgentSetup) -> "RayLink":
        """Put an agent on a node.

        Raises:
            NodeUnreachableError, NodeGoneError: if that fails.
        """
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id, soft=False)
        actor = self._ray.remote(AgentActor).options(
            num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=_N_CALLS, scheduling_strategy=strategy
        )
        return RayLink(self._ray, actor.remote(setup), self.name_of(node_id))

    def close(self) -> None:
        """Leave the cluster; one of this driver's own ends."""
        if not self._was_joined:
            self._ray.shutdown()


class RayLink:
    """Calls an agent that is a Ray actor. See `search.executors.ray.node.AgentLink`.

    Attributes:
        name: of the node, with its address.
    """

    def __init__(self, ray: Any, actor: Any, name: str) -> None:
        self._ray, self._actor, self.name = ray, actor, name
        self._exchange_s = _EXCHANGE_S

    def describe(self) -> NodeDescription:
        """What the node is; waits for the actor's start."""
        described: NodeDescription = self._call(self._actor.describe.remote(), _RECRUIT_S)
        return described

    def echo(self, content: bytes) -> bytes:
        """Send a piece there and back."""
        return bytes(self._call(self._actor.echo.remote(content), _ECHO_S))

    def variables(self) -> dict[str, str]:
        """What Ray was told there, of `RAY_VARIABLES`."""
        return dict(self._call(self._actor.variables.remote(), _CALL_S))

    def want(self, cargo: Cargo) -> tuple[Wanted, ...]:
        """What of the cargo must be sent."""
        wanted: tuple[Wanted, ...] = self._call(self._actor.want.remote(cargo), _RECRUIT_S)
        return wanted

    def put(self, cargo: Cargo, name: str, offset: int, content: bytes) -> int:
        """Send a piece of a file."""
        return int(self._call(self._actor.put.remote(cargo, name, offset, content), _CALL_S))

    def settle(self, cargo: Cargo) -> None:
        """Have the cargo checked (a gigabyte takes seconds) and used."""
        self._call(self._actor.settle.remote(cargo), _RECRUIT_S)

    def try_out(self, task: PackedSpec) -> TrialResult:
        """Run a task there; it waits for the imports of its first worker, too."""
        tried: TrialResult = self._call(self._actor.try_out.remote(task), _RECRUIT_S)
        return tried

    def exchange(self, acknowledged: int, orders: Sequence[Order]) -> Exchange:
        """Send orders again, and wait for parcels; longer after a wait that was too short, for a
        checkpoint of 50 MB takes 40 s over a line of 10 Mbit/s.
        """
        call = self._actor.exchange.remote(acknowledged, tuple(orders), _WAIT_S)
        try:
            exchanged: Exchange = self._call(call, self._exchange_s)
        except NodeUnreachableError as error:
            if isinstance(error.__cause__, self._ray.exceptions.GetTimeoutError):
                self._exchange_s = min(4 * self._exchange_s, _LONGEST_EXCHANGE_S)
            raise
        return exchanged

    def take(self, orders: Sequence[Order]) -> None:
        """Send orders; the next exchange sends again what is lost."""
        self._actor.take.remote(tuple(orders))

    def end(self) -> None:
        """End the agent in order, or else by force."""
        with contextlib.suppress(Exception):  # it may be gone, cut off, or Ray itself
            self._ray.get(self._actor.close.remote(), timeout=_END_S)
        with contextlib.suppress(Exception):  # Ray may be gone
            self._ray.kill(self._actor)

    def _call(self, reference: Any, timeout_s: float) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=timeout_s)
        except errors.ActorUnavailableError as error:
            raise NodeUnreachableError(f"{self.name} is not to be reached for the moment: {_line(error)}.") from error
        except errors.GetTimeoutError as error:
            raise NodeUnreachableError(f"{self.name} did not answer within {timeout_s:.0f} s.") from error
        except (errors.ActorDiedError, errors.ActorUnschedulableError) as error:
            raise _death(self.name, error) from error
        except errors.RayTaskError as error:
            if isinstance(error.cause, WhosehandError):
                raise error.cause from None
            raise NodeUnreachableError(f"The agent on {self.name} failed: {_line(error.cause)}.") from error
        except errors.RayError as error:
            raise NodeUnreachableError(f"Ray could not call {self.name}: {_line(error)}.") from error


def _prepare_own_cluster() -> None:
    """Set what Ray reads when it starts a cluster of this machine alone.

    Raises:
        ExecutorError: if it has read it already, without a token.
    """
    for name, value in _LOCAL.items():
        os.environ.setdefault(name, value)
    if AUTH not in os.environ:
        if "ray" in sys.modules:
            raise ExecutorError(TOO_LATE)
        os.environ.update({AUTH: "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


def remove_paths_of_ray() -> None:
    """Take Ray's own copies of libraries off the path: workers would import its psutil, not
    ours.
    """
    sys.path[:] = [path for path in sys.path if _OWN_PATHS not in Path(path).parts]


def _short_folder() -> dict[str, str]:
    """Another place for Ray's sockets, where that for temporary files lies too deep for them."""
    return {} if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else {"_temp_dir": "/tmp/ray"}


def _check_head_listens(address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        ExecutorError: if nobody does.
    """
    host, found, port = address.rpartition(":")
    try:
        if found:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_HEAD_S).close()
    except OSError as error:
        raise ExecutorError(_no_cluster(address, error)) from error


def _no_cluster(address: str, error: Exception) -> str:
    return (
        f"A Ray cluster must run at `executor.address: {address}`, but cannot be joined: {_line(error)}. Start one "
        "with `ray start --head`, on the other nodes with `ray start --address=HEAD:6379`; docs/cluster.md has each "
        "step."
    )


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what Ray's C++ side prints when it starts from the user's terminal."""
    before = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _death(name: str, error: Exception) -> WhosehandError:
    """What it means that an agent has died: its node is gone, or it could not even begin there."""
    if not getattr(error, "actor_init_failed", False):
        return NodeGoneError(f"The agent on {name} has ended: {_line(error)}.")
    why = str(error).strip().rpartition("\n")[2].strip()  # the end of a traceback
    if why.startswith(_NOT_THE_SAME):
        return ExecutorError(
            f"No agent can be started on {name}, because whosehand is not there, or another version of it: {why}. "
            "Install the same there (constraints.txt), and start its Ray from that environment."
        )
    return NodeGoneError(f"The agent on {name} could not begin: {why}.")


def _line(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(".")
