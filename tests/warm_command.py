"""Commands in processes that are forked from one that has everything imported.

The imports of TensorFlow and MLflow take longer than most commands. What a test starts here has
its own working folder, environment, standard streams and end, as if it had been started from a
shell; only the imports were done before.
"""

import atexit
import importlib
import json
import multiprocessing.util
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

_PACKAGES = ("core", "search", "whosehand")
_LIBRARIES = ("tensorflow", "mlflow.tensorflow", "mlflow.pyfunc", "mlflow.tracking", "matplotlib.pyplot", "optuna")
_MESSAGE_BYTES = 1 << 20


class WarmCommands:
    """The process that has the imports done, for as long as this test process lives."""

    def __init__(self, program: Path, environment: Mapping[str, str]) -> None:
        """Start it; it imports while the first command waits.

        Args:
            program: the installed command line, whose folder heads the import path as when it runs.
            environment: of all commands, as far as they are not told otherwise.
        """
        self._link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(far_end.fileno(), True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_command", str(far_end.fileno()), str(program)],
            env=dict(environment),
            close_fds=False,
            stdin=subprocess.DEVNULL,
        )
        far_end.close()
        atexit.register(self.close)

    def start(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        out: IO[bytes],
        err: IO[bytes],
        *,
        leads_a_group: bool = False,
    ) -> "WarmProcess":
        """Start a command.

        Args:
            folder: that it runs in.
            arguments: without the program.
            environment: all of it.
            out: takes its standard output.
            err: takes its standard error.
            leads_a_group: whether it heads a process group of its own.
        """
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "folder": str(folder),
            "arguments": list(arguments),
            "environment": dict(environment),
            "leads_a_group": leads_a_group,
        }
        with far:
            files = [out.fileno(), err.fileno(), far.fileno()]
            socket.send_fds(self._link, [json.dumps(request).encode()], files)
        return WarmProcess(int(near.recv(64)), near)

    def run(
        self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str, str]:
        """Run a command to its end; returns exit code (negative for a signal), output and errors.

        Raises:
            TimeoutError: if it takes longer, after it was killed.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self.start(folder, arguments, environment, out, err).wait(timeout_s)
            out.seek(0)
            err.seek(0)
            return code, out.read().decode(), err.read().decode()

    def close(self) -> None:
        """End the process."""
        self._link.close()
        self._process.wait()


class WarmProcess:
    """A command that was started."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        """Take over what is known of it.

        Args:
            pid: of the command.
            link: says how it ended.
        """
        self.pid = pid
        self._link = link
        self._code: int | None = None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; returns the exit code, negative for a signal.

        Raises:
            TimeoutError: if it takes longer, after it was killed.
        """
        if self._code is None:
            self._link.settimeout(timeout_s)
            try:
                self._code = int(self._link.recv(64))
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise
            finally:
                self._link.close()
        return self._code


def _serve(link: socket.socket, program: Path) -> None:
    """Fork a command for each request, until the tests have gone.

    Returns in each command's process.
    """
    before = dict(os.environ)
    for name in (*_LIBRARIES, *_own_modules()):
        importlib.import_module(name)
    set_by_imports = {name: text for name, text in os.environ.items() if before.get(name) != text}
    sys.path[0] = str(program.parent)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, *_ = socket.recv_fds(link, _MESSAGE_BYTES, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            link.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request = json.loads(message)
            request["environment"] = set_by_imports | request["environment"]
            _mind(request, files, program)
            return
        for file in files:
            os.close(file)


def _mind(request: dict[str, Any], files: list[int], program: Path) -> None:
    """Fork once more, and tell how that process ends.

    Returns in that process, which is the command's.
    """
    out, err, reply = files
    pid = os.fork()
    if pid == 0:
        if request["leads_a_group"]:
            os.setsid()
        os.close(reply)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = [str(program), *request["arguments"]]
        multiprocessing.util.spawnv_passfds = _start_forked  # type: ignore[assignment]
        return
    os.close(out)
    os.close(err)
    os.write(reply, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    os.write(reply, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


_start_afresh = multiprocessing.util.spawnv_passfds


def _start_forked(path: bytes, arguments: Sequence[Any], kept_files: Sequence[int]) -> int:
    """Start multiprocessing's fork server as a fork of this process; its other helpers afresh."""
    program = str(arguments[-1])
    if "multiprocessing.forkserver" not in program:
        return _start_afresh(path, arguments, kept_files)
    pid = os.fork()
    if pid == 0:
        kept = sorted({0, 1, 2, *kept_files})
        for before, after in zip(kept, [*kept[1:], 1 << 16], strict=True):
            os.closerange(before + 1, after)
        with suppress(SystemExit):
            try:
                exec(program, {})
            except Exception:
                traceback.print_exc()
        os._exit(0)  # whatever ends it: nothing of the command that started it is left by it
    return pid


def _own_modules() -> list[str]:
    found = []
    for name in _PACKAGES:
        package = importlib.import_module(name)
        found += [module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")]
    return [name for name in found if "testing" not in name and "__main__" not in name]


def _end(code: int) -> NoReturn:
    """Leave as Python does, but for taking apart all that was imported, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at every end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import core.networks.quiet_tensorflow  # noqa: F401  (before TensorFlow, which it keeps quiet)

    _serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
    from search.cli.main import main

    try:
        main()
    except SystemExit as leaving:
        _end(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        _end(1)
    _end(0)
