"""A server on loopback that hands out a tree of files, and can be told to misbehave."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from core.corpora.fetch import PublishedCorpus

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class FileServer(ThreadingHTTPServer):
    """Serves `files`; the next answers for a path may be planned in `mishaps`."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.mishaps: dict[str, list[Answer]] = {}
        self.asked: Counter[str] = Counter()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/at/commit"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        path = unquote(self.path).removeprefix("/at/commit/")
        self.server.asked[path] += 1
        planned = self.server.mishaps.get(path)
        if path not in self.server.files:
            refuse(404)(self, b"")
        elif planned:
            planned.pop(0)(self, self.server.files[path])
        else:
            send(self, self.server.files[path])

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def send(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """As it should be."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def spoil(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """One byte is another one."""
    send(handler, bytes([content[0] ^ 1]) + content[1:])


def break_off(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """The connection ends in the middle of the file."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def refuse(code: int) -> Answer:
    """An answer without a file."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@contextmanager
def file_server(files: Mapping[str, bytes]) -> Iterator[FileServer]:
    """Serve the files until the end of the block."""
    server = FileServer(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def published(files: Mapping[str, bytes], address: str, unlisted: tuple[str, ...] = ()) -> PublishedCorpus:
    """The corpus of these files, of which `sums` is the list."""
    return PublishedCorpus(
        name="small",
        address=address,
        checksums="sums",
        checksums_sha256=sha256(files["sums"]),
        also={name: sha256(files[name]) for name in unlisted},
    )


def with_list(files: Mapping[str, bytes], unlisted: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files, and their list `sums` as `sha256sum` writes it."""
    lines = [f"{sha256(content)}  {name}\n" for name, content in files.items() if name not in unlisted]
    return {**files, "sums": "".join(lines).encode()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
