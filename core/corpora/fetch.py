"""Fetch a published corpus, file by file, each checked against the published list of SHA-256 sums.

The list itself is checked against a sum that stands in the code: what passes is what was published,
whoever serves it. A fetch may be stopped at any time. Files that are there with the right sum are
kept, so the next one goes on.
"""

import hashlib
import itertools
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import quote

import requests

from core.errors import CorpusError

_CHUNK_BYTES = 1 << 16
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_TRIED = "was not tried, because the server could not be reached"


@dataclass(frozen=True)
class PublishedCorpus:
    """Where a corpus is published, and what proves that it is this one.

    Attributes:
        name: of the corpus.
        address: files are fetched from `<address>/<path>`.
        checksums: path of the published list, in the format of `sha256sum`.
        checksums_sha256: the sum of that list.
        also: files that the list lacks, with their sums.
    """

    name: str
    address: str
    checksums: str
    checksums_sha256: str
    also: Mapping[str, str] = field(default_factory=dict)


_DHSD_COMMIT = "ab871d395966c3f1177444a2db847e047b9559b8"
DHSD = PublishedCorpus(
    name="dhsd",
    address=f"https://raw.githubusercontent.com/nauman-riaz/DHSD/{_DHSD_COMMIT}",
    checksums="checksums.sha256",
    checksums_sha256="577b3c614fa947ee16bfbc7c3073969c91cb6bcd2b0e675af9a1fff847321bfd",
    also=MappingProxyType(
        {  # the published list has data.csv and the images only
            "train.csv": "64c5f342f1dabc036153d3ed11388928a1bd28899f839ceab06c87260239ef1a",
            "test.csv": "7d44c183ebff39e997f787d6dff31d17673905c2d2f38f61e82919954a50c181",
            "LICENSE": "88bce4ed68bfd5e178de165a057cbd5d708e93d34181b671b868f3b0d9ef10b6",
            "README.md": "37cbff5ea840ca60470eb91ba222b806eabf57efca9b6de51f8e56ba33e601f9",
            "CITATION.cff": "43544d707fd4aac5354ba6a00b3b3228ab7586a2deef5b92f8e45effe3446218",
            "DATASHEET.md": "a9a84ee1715fc0e9c1c3d6163d110cb9299ef44378eca9c21101395559b16626",
        }
    ),
)
"""The Deutscher Handschriften-Datensatz, CC BY 4.0, at a fixed commit of its repository."""


@dataclass(frozen=True)
class FetchSettings:
    """How patiently to fetch.

    Attributes:
        n_threads: files at once.
        n_tries: for each file, where the connection breaks or the server is busy.
        backoff_s: seconds before the second try; twice as long before each further one.
        timeout_s: seconds without a byte after which a connection counts as broken.
    """

    n_threads: int = 8
    n_tries: int = 5
    backoff_s: float = 1.0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class FetchFailure:
    """A file that could not be had, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did.

    Attributes:
        folder: where the corpus lies.
        n_files: of the whole corpus.
        n_kept: that were there already.
        n_fetched: that came now.
        n_bytes: of the files that came now.
        failures: files that are still missing, by path.
    """

    folder: Path
    n_files: int
    n_kept: int
    n_fetched: int
    n_bytes: int
    failures: tuple[FetchFailure, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every file is there with the right sum."""
        return not self.failures


def fetch_corpus(
    corpus: PublishedCorpus,
    folder: Path,
    settings: FetchSettings | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> FetchReport:
    """Fetch what is not there yet.

    A file is written as `<name>.part`, checked, and renamed. One with a wrong sum is fetched once
    more. After as many files in a row as there are threads for which the server could not be
    reached, the others are not tried.

    Args:
        corpus: what to fetch.
        folder: where to; made where it is missing.
        settings: how patiently.
        advance: is told (files done, files in all).

    Raises:
        CorpusError: if the list of sums cannot be had or is another one.
        OSError: if the folder cannot be written.
    """
    settings = settings or FetchSettings()
    sums = _read_sums(corpus, folder, settings)
    fetching = _Fetching(corpus, folder, settings)
    ended = itertools.count(1)
    results: list[_Result] = []
    with ThreadPoolExecutor(max_workers=settings.n_threads) as pool:
        futures: list[Future[_Result]] = [pool.submit(fetching.provide, path, sums[path]) for path in sums]
        try:
            for future in as_completed(futures):
                results.append(future.result())
                if advance is not None:
                    advance(next(ended), len(sums))
        except BaseException:  # Ctrl-C or a full disk: what is under way ends, the rest is not begun
            fetching.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    failures = [FetchFailure(result.path, result.failure) for result in results if result.failure is not None]
    came = [result for result in results if result.failure is None and result.n_bytes is not None]
    return FetchReport(
        folder=folder,
        n_files=len(sums),
        n_kept=len(sums) - len(came) - len(failures),
        n_fetched=len(came),
        n_bytes=sum(result.n_bytes or 0 for result in came),
        failures=tuple(sorted(failures, key=lambda failure: failure.path)),
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 sum of a file, in hexadecimal digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@dataclass(frozen=True)
class _Result:
    path: str
    n_bytes: int | None = None  # none where the file was there
    failure: str | None = None


class _Unreachable(Exception):  # noqa: N818  (it says what the server is)
    """No connection, or one that broke every time."""


class _Refused(Exception):  # noqa: N818
    """The server answered, but not with the file."""


class _Fetching:
    """What the threads of one fetch share."""

    def __init__(self, corpus: PublishedCorpus, folder: Path, settings: FetchSettings) -> None:
        self._address = corpus.address.rstrip("/")
        self._folder = folder
        self._settings = settings
        self._local = threading.local()
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()
        self._n_unreachable = 0  # files in a row

    def stop(self) -> None:
        """Begin nothing more, and wait for nothing more."""
        self._is_stopped.set()

    def provide(self, path: str, sha256: str) -> _Result:
        """Fetch one file, unless it is there with the right sum."""
        target = self._folder / path
        if target.is_file() and sha256_of(target) == sha256:
            return _Result(path)
        if self._is_stopped.is_set():
            return _Result(path, failure=_NOT_TRIED)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        try:
            for _ in range(2):  # something on the way may have spoilt it: once more
                found = self._download(path, part)
                self._count_unreachable(is_unreachable=False)
                if found == sha256:
                    n_bytes = part.stat().st_size
                    part.replace(target)
                    return _Result(path, n_bytes)
        except _Unreachable as error:
            self._count_unreachable(is_unreachable=True)
            return _Result(path, failure=str(error))
        except _Refused as error:
            return _Result(path, failure=str(error))
        finally:
            part.unlink(missing_ok=True)
        return _Result(
            path, failure=f"came twice with SHA-256 {found[:12]}... instead of the published {sha256[:12]}..."
        )

    def _download(self, path: str, part: Path) -> str:
        """Write what the server sends, from the start again where the connection breaks; returns
        its sum.
        """
        fault = ""
        for attempt in range(self._settings.n_tries):
            if attempt and self._is_stopped.wait(self._settings.backoff_s * 2 ** (attempt - 1)):
                break
            try:
                with self._session.get(
                    f"{self._address}/{quote(path)}", stream=True, timeout=self._settings.timeout_s
                ) as response:
                    if response.ok:
                        return _write(response, part)
                    fault = f"the server says {response.status_code} {response.reason}"
                    if response.status_code not in _PASSING:
                        raise _Refused(fault)
            except requests.RequestException as error:
                fault = f"the connection failed or broke ({type(error).__name__})"
        raise _Unreachable(f"{fault}, {attempt + 1} times" if attempt else fault)

    @property
    def _session(self) -> requests.Session:
        """Of this thread: sessions keep connections open, and are not to be shared."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session

    def _count_unreachable(self, is_unreachable: bool) -> None:
        with self._lock:
            self._n_unreachable = self._n_unreachable + 1 if is_unreachable else 0
            if self._n_unreachable >= self._settings.n_threads:
                self.stop()


def _write(response: requests.Response, part: Path) -> str:
    content_sum = hashlib.sha256()
    with part.open("wb") as opened:
        for chunk in response.iter_content(_CHUNK_BYTES):
            content_sum.update(chunk)
            opened.write(chunk)
    return content_sum.hexdigest()


def _read_sums(corpus: PublishedCorpus, folder: Path, settings: FetchSettings) -> dict[str, str]:
    """The published sums by path, from a list that is proved to be the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    result = _Fetching(corpus, folder, settings).provide(corpus.checksums, corpus.checksums_sha256)
    if result.failure is not None:
        raise CorpusError(
            f"The list of sums of {corpus.name} must be had first, but {corpus.address}/{corpus.checksums}: "
            f"{result.failure}. Check the connection, and that `--from` holds the files of that commit; what lies in "
            f"{folder} stays there."
        )
    sums: dict[str, str] = {}
    for line in (folder / corpus.checksums).read_text(encoding="utf-8").splitlines():
        found = _SUM_LINE.fullmatch(line)
        if found is None or ".." in PurePosixPath(found[2]).parts or found[2].startswith("/"):
            raise CorpusError(f"{folder / corpus.checksums} must hold lines of sum and path, but has {line[:80]!r}.")
        sums[found[2]] = found[1]
    return {**sums, **corpus.also}
