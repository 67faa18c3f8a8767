import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.corpora.fetch import DHSD, FetchReport, FetchSettings, PublishedCorpus, fetch_corpus, sha256_of
from core.errors import CorpusError
from tests.file_server import FileServer, break_off, file_server, published, refuse, sha256, spoil, with_list

FILES = with_list(
    {
        "data.csv": b"file_name,text,writer_id\n",
        "train.csv": b"file_name,text\n",
        **{f"images/writer {n % 3}/{n}_\u00e4.png": bytes([n]) * 90_000 for n in range(24)},
    },
    unlisted=("train.csv",),
)
WANTED = {name: content for name, content in FILES.items() if name != "sums"}
QUICK = FetchSettings(n_threads=4, n_tries=3, backoff_s=0.01, timeout_s=5.0)
ONE = "images/writer 1/1_\u00e4.png"
OTHER = "images/writer 2/2_\u00e4.png"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(FILES) as running:
        yield running


def corpus_at(server: FileServer) -> PublishedCorpus:
    return published(FILES, server.address, unlisted=("train.csv",))


def fetch(server: FileServer, folder: Path) -> FetchReport:
    return fetch_corpus(corpus_at(server), folder, QUICK)


def lying_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_comes_as_it_was_published(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = fetch_corpus(corpus_at(server), tmp_path / "to" / "here", QUICK, lambda *counts: seen.append(counts))

    assert lying_in(tmp_path / "to" / "here") == FILES
    assert (report.n_files, report.n_kept, report.n_fetched, report.failures) == (26, 0, 26, ())
    assert report.n_bytes == sum(map(len, WANTED.values()))
    assert report.is_whole
    assert seen == [(done, 26) for done in range(1, 27)]


def test_what_is_there_is_kept_and_what_is_spoilt_or_missing_comes_again(server: FileServer, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    (tmp_path / ONE).unlink()
    (tmp_path / OTHER).write_bytes(b"spoilt on the disk")
    (tmp_path / "mine.txt").write_text("not of the corpus")
    server.asked.clear()

    report = fetch(server, tmp_path)
    assert (report.n_kept, report.n_fetched) == (24, 2)
    assert dict(server.asked) == {ONE: 1, OTHER: 1}
    assert lying_in(tmp_path) == {**FILES, "mine.txt": b"not of the corpus"}


def test_a_file_that_was_spoilt_on_the_way_comes_once_more(server: FileServer, tmp_path: Path) -> None:
    server.mishaps[ONE] = [spoil]
    assert fetch(server, tmp_path).is_whole
    assert server.asked[ONE] == 2
    assert lying_in(tmp_path) == FILES


def test_a_file_that_is_another_one_is_reported_and_not_kept(server: FileServer, tmp_path: Path) -> None:
    server.mishaps[ONE] = [spoil] * 9
    report = fetch(server, tmp_path)

    assert [(failure.path, server.asked[ONE]) for failure in report.failures] == [(ONE, 2)]
    assert sha256(FILES[ONE])[:12] in report.failures[0].reason
    assert (report.n_files, report.n_kept, report.n_fetched) == (26, 0, 25)
    assert lying_in(tmp_path) == {name: content for name, content in FILES.items() if name != ONE}


@pytest.mark.parametrize("mishap", [break_off, refuse(503), refuse(429)], ids=["broken", "503", "429"])
def test_a_broken_connection_or_a_busy_server_is_tried_again(
    server: FileServer, tmp_path: Path, mishap: object
) -> None:
    server.mishaps[ONE] = [mishap, mishap]  # type: ignore[list-item]
    assert fetch(server, tmp_path).is_whole
    assert server.asked[ONE] == 3
    assert lying_in(tmp_path) == FILES


def test_a_connection_that_breaks_each_time_is_reported_and_the_next_fetch_goes_on(
    server: FileServer, tmp_path: Path
) -> None:
    server.mishaps[ONE] = [break_off] * 3
    report = fetch(server, tmp_path)
    assert [failure.path for failure in report.failures] == [ONE]
    assert "3 times" in report.failures[0].reason
    assert not list(tmp_path.rglob("*.part"))

    again = fetch(server, tmp_path)
    assert (again.is_whole, again.n_kept, again.n_fetched) == (True, 25, 1)


def test_a_file_that_the_server_lacks_is_reported_at_once(server: FileServer, tmp_path: Path) -> None:
    del server.files[ONE]
    report = fetch(server, tmp_path)
    assert [(failure.path, server.asked[ONE]) for failure in report.failures] == [(ONE, 1)]
    assert "404" in report.failures[0].reason


def test_after_some_files_in_a_row_a_dead_server_is_left_alone(server: FileServer, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    for name in list(WANTED)[6:]:
        (tmp_path / name).unlink()
        server.mishaps[name] = [refuse(503)] * 99
    server.asked.clear()

    report = fetch(server, tmp_path)
    assert len(report.failures) == 20
    tried = [failure for failure in report.failures if "503" in failure.reason]
    assert 4 <= len(tried) <= 8
    assert sum(server.asked.values()) <= 8 * 3
    assert any("could not be reached" in failure.reason for failure in report.failures)


@pytest.mark.parametrize("how", ["another list", "no list"])
def test_without_the_published_list_nothing_is_fetched(server: FileServer, tmp_path: Path, how: str) -> None:
    if how == "another list":
        server.files["sums"] = FILES["sums"].replace(b"data.csv", b"date.csv")
    else:
        del server.files["sums"]
    with pytest.raises(
        CorpusError, match=r"list of sums of small.*/sums: (came twice with SHA-256|the server says 404)"
    ):
        fetch(server, tmp_path)
    assert set(server.asked) == {"sums"}
    assert lying_in(tmp_path) == {}


def test_a_list_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    files = with_list({"../outside.txt": b"x"})
    with file_server(files) as server, pytest.raises(CorpusError, match=r"\.\./outside"):
        fetch_corpus(published(files, server.address), tmp_path / "in", QUICK)
    assert not (tmp_path / "outside.txt").exists()


def test_nobody_listening_says_so(tmp_path: Path) -> None:
    with file_server(FILES) as server:
        corpus = corpus_at(server)
    with pytest.raises(CorpusError, match=r"connection failed or broke \(ConnectionError\), 3 times"):
        fetch_corpus(corpus, tmp_path, QUICK)


def test_a_fetch_that_was_killed_goes_on(server: FileServer, tmp_path: Path) -> None:
    def wait(*_: object) -> None:
        time.sleep(60)

    for name in list(WANTED)[13:]:
        server.mishaps[name] = [wait]
    process = multiprocessing.get_context("spawn").Process(
        target=fetch_corpus, args=(published(FILES, server.address), tmp_path, QUICK)
    )
    process.start()
    ends_s = time.monotonic() + 60
    while len([path for path in tmp_path.rglob("*.*") if path.suffix != ".part"]) < 12:
        assert time.monotonic() < ends_s
        time.sleep(0.02)
    process.kill()
    process.join()
    (tmp_path / f"{ONE}.part").write_bytes(b"half a file")
    (tmp_path / ONE).unlink()
    there = {name for name in lying_in(tmp_path) if name in WANTED}
    server.mishaps.clear()
    server.asked.clear()

    report = fetch(server, tmp_path)
    assert (report.is_whole, report.n_kept) == (True, len(there))
    assert set(server.asked) == set(WANTED) - there
    assert lying_in(tmp_path) == FILES


def test_ctrl_c_ends_soon_and_leaves_no_half_files(server: FileServer, tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_corpus(corpus_at(server), tmp_path, QUICK, interrupt)
    left = lying_in(tmp_path)
    assert all(FILES[name] == content for name, content in left.items())
    assert fetch(server, tmp_path).is_whole


def test_the_pinned_sums_are_those_of_the_data_set(dhsd_root: Path) -> None:
    assert sha256_of(dhsd_root / DHSD.checksums) == DHSD.checksums_sha256
    assert {name: sha256_of(dhsd_root / name) for name in DHSD.also} == DHSD.also
    assert DHSD.address.endswith("nauman-riaz/DHSD/ab871d395966c3f1177444a2db847e047b9559b8")
