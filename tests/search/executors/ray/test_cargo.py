"""What trials read, brought to nodes: named by content, checked, used again, removed by age."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.corpora.index import CorpusIndex, TextImage
from core.lines.store import LIST, LineStore, build_line_store
from core.settings import InkSettings
from search.executors.base import ExecutorError
from search.executors.ray import cargo as room
from search.executors.ray.agent import NodeAgent
from search.executors.ray.cargo import Cargo, Hold, cargo_of, remove_old_stores
from search.executors.ray.parcels import AgentSetup, paths_in, with_paths
from search.executors.ray.scout import bring
from search.objectives.tasks import FunctionReference
from tests.search.executors.ray.near_nodes import NearLink

OPEN = threading.Event()


@pytest.fixture
def store(tmp_path: Path) -> LineStore:
    """Two lines."""
    images = []
    for number in range(2):
        pixels = np.full((40, 90), 255, dtype=np.uint8)
        pixels[5:35, 10 + 20 * number : 14 + 20 * number] = 0
        path = tmp_path / "scans" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        images.append(TextImage(f"{number}", path, f"writer-{number}", None))
    index = CorpusIndex("two", tmp_path / "scans", tuple(images))
    return build_line_store(index, InkSettings(), tmp_path / "driver" / "lines")


@dataclass
class Node:
    """A node that does not see the driver's disk."""

    link: NearLink
    scratch: Path

    @property
    def hold(self) -> Hold:
        return self.link.agent._hold


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(room, "_is_there", lambda cargo: False)
    agent = NodeAgent(AgentSetup("one", tmp_path / "node", 1, 1))
    yield Node(NearLink(agent, "a"), tmp_path / "node")
    agent.close()


def only(cargo: tuple[Cargo, ...]) -> Cargo:
    (one,) = cargo
    return one


def test_a_line_store_arrives_whole_and_is_not_sent_again(store: LineStore, node: Node) -> None:
    cargo = only(cargo_of([store.folder]))
    bring(cargo, node.link, OPEN)
    there = LineStore.open(node.hold.places[store.folder])
    there.verify()
    assert there.folder.is_relative_to(node.scratch)
    assert [there.pixels(n).tobytes() for n in range(2)] == [store.pixels(n).tobytes() for n in range(2)]
    n_bytes = node.link.n_put_bytes
    assert n_bytes == cargo.n_bytes
    bring(cargo, node.link, OPEN)
    assert node.link.n_put_bytes == n_bytes


def test_much_is_said_before_it_is_sent(store: LineStore, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.executors.ray.scout._MUCH_BYTES", 1)
    cargo, said = only(cargo_of([store.folder])), list[str]()
    bring(cargo, node.link, OPEN, said.append)
    assert said == ["0.0 GB of text lines are sent there, once."]
    bring(cargo, node.link, OPEN, said.append)
    assert len(said) == 1, "nothing is sent again"


def test_a_later_sweep_on_the_node_uses_what_is_there(store: LineStore, node: Node) -> None:
    cargo = only(cargo_of([store.folder]))
    bring(cargo, node.link, OPEN)
    later = NearLink(NodeAgent(AgentSetup("two", node.scratch, 1, 1)), "a")
    try:
        bring(cargo, later, OPEN)
        assert later.n_put_bytes == 0
        assert later.agent._hold.places == node.hold.places
    finally:
        later.end()


def test_what_arrives_damaged_is_refused_and_sent_anew_the_next_time(store: LineStore, node: Node) -> None:
    cargo = only(cargo_of([store.folder]))
    (name, size), *_ = cargo.sizes
    for wanted in node.link.want(cargo):
        content = (cargo.base / wanted.name).read_bytes()
        node.link.put(cargo, wanted.name, 0, bytes(size) if wanted.name == name else content)
    with pytest.raises(ExecutorError, match="must arrive whole"):
        node.link.settle(cargo)
    bring(cargo, node.link, OPEN)
    LineStore.open(node.hold.places[store.folder]).verify()


def test_a_piece_that_comes_twice_counts_once_and_a_broken_off_file_goes_on(store: LineStore, node: Node) -> None:
    cargo = only(cargo_of([store.folder]))
    name = cargo.sizes[0][0]
    content = (cargo.base / name).read_bytes()
    assert node.link.put(cargo, name, 0, content[:10]) == 10
    assert node.link.put(cargo, name, 0, content[:10]) == 10
    assert next(wanted.offset for wanted in node.link.want(cargo) if wanted.name == name) == 10
    bring(cargo, node.link, OPEN)
    assert node.hold.places[store.folder].is_dir()


def test_a_path_that_holds_the_same_is_used_as_it_is(store: LineStore, tmp_path: Path) -> None:
    split = tmp_path / "driver" / "split.json"
    split.write_text("{}")
    hold = Hold(tmp_path / "node", tmp_path / "node" / "session")
    for cargo in cargo_of([store.folder, split]):
        assert hold.want(cargo) == ()
    assert hold.places == {store.folder: store.folder, split: split}


def test_a_sweep_s_copy_of_the_user_s_code_is_sent_and_nothing_of_the_user_s_own_folder(
    tmp_path: Path, node: Node
) -> None:
    own, sweep = tmp_path / "own", tmp_path / "sweep"
    for folder in (own, sweep / "own_code" / "package"):
        folder.mkdir(parents=True)
        (folder / "mine.py").write_text("x = 1\n")
        (folder / ".env").write_text("PASSWORD=secret\n")
    (sweep / "ledger.jsonl").write_text("")
    (sweep / "split.json").write_text("{}")
    reference = FunctionReference("package.mine:f", sweep / "own_code", beside=own)
    for cargo in cargo_of([*paths_in(reference), sweep / "split.json"]):
        bring(cargo, node.link, OPEN)
    places = node.hold.places
    assert own not in places
    sent = [path.relative_to(places[sweep / "own_code"]) for path in places[sweep / "own_code"].rglob("*.*")]
    assert sent == [Path("package/mine.py")]
    assert places[sweep / "split.json"].read_text() == "{}"


def test_more_than_is_sent_is_refused_with_advice(store: LineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 10)
    with pytest.raises(ExecutorError, match="on a disk that all nodes see under the same path"):
        cargo_of([store.folder])


def test_stores_that_nobody_has_used_for_long_are_removed_with_their_packs(store: LineStore, node: Node) -> None:
    bring(only(cargo_of([store.folder])), node.link, OPEN)
    lines = node.scratch / "lines"
    remove_old_stores(lines, kept_s=1000)
    assert len(list(lines.glob("*/*.pack"))) == 1
    old_s = time.time() - 200_000
    for path in lines.rglob("*"):
        os.utime(path, (old_s, old_s))
    remove_old_stores(lines, kept_s=100_000)
    assert [path.name for path in lines.rglob("*") if path.suffix == ".pack" or path.name == LIST] == []


def test_paths_of_settings_are_found_and_changed_however_deep(tmp_path: Path) -> None:
    settings = {"a": (FunctionReference("m:f", folder=tmp_path / "x"),), "b": [Path("y")], "c": 1}
    assert list(paths_in(settings)) == [tmp_path / "x", Path("y")]
    changed = with_paths(settings, {tmp_path / "x": Path("z")})
    assert changed["a"][0] == FunctionReference("m:f", folder=Path("z"))
    assert changed["b"] == [Path("y")]
