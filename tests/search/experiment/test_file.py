"""Whatever lies where an experiment file should be: one clear sentence, in bounded memory and
time.
"""

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.experiment.experiment import load_experiment

ROOT = Path(__file__).parents[3]
SMALL = "name: small\ncorpus: {layout: hands, n_writers: 3}\nbudget: {trials: 4}\n"
_LEVELS = "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12))
BOMB = f"a0: &a0 [x, x, x]\n{_LEVELS}\n"
MERGED = "a0: &a0 {k: v}\n" + "\n".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}], k{level}: v}}" for level in range(1, 12)
)
TEXTS: dict[str, tuple[str, str]] = {
    "an anchor bomb": (BOMB, "more than 20,000 values"),
    "an anchor bomb of merged groups": (MERGED, "more than 20,000 values"),
    "an anchor that holds itself": ("name: &a [*a]\n", "holds itself"),
    "a deep list": ("name: " + "[" * 5000 + "]" * 5000, "more than 20 levels deep"),
    "a deep group": ("".join("  " * depth + f"k{depth}:\n" for depth in range(400)), "more than 20 levels deep"),
    "a key twice": (SMALL + "name: other\n", "line 4.*the key 'name' is there twice, first in line 1"),
    "a key that is a list": (SMALL + "? [a]\n: 1\n", "line 4.*a key must be one word"),
    "a key that is a date": (SMALL + "2026-11-28: 1\n", "line 4.*a key must be a word"),
    "a key that is nothing": (SMALL + "~: 1\n", "line 4.*a key must be a word"),
    "an impossible date": (SMALL + "description: 2026-13-45\n", "line 4.*cannot be read"),
    "a number of 5,000 digits": (SMALL + f"seed: {'9' * 5000}\n", "line 4.*cannot be read"),
    "a word that is called a number": (SMALL + "seed: !!int many\n", "line 4.*cannot be read"),
    "a word that is called true": (SMALL + "seed: !!bool maybe\n", "line 4.*cannot be read"),
    "a Python object": (SMALL + "seed: !!python/object/apply:os.system [ls]\n", "line 4.*python"),
    "half a character": (SMALL + 'description: "\\ud800"\n', "line 4.*character"),
    "an escaped NUL": (SMALL + 'description: "a\\0b"\n', "line 4.*character"),
    "a NUL byte": (SMALL + "description: a\0b\n", "line 4.*character"),
    "an escape of a terminal": (SMALL + "description: a\x1b[31mb\n", "line 4.*character"),
    "a name of the user's own that looks like a key": (
        SMALL + "code: {sha256: {}}\n",
        "code.sha256.sha256: is missing",
    ),
    "two documents": (SMALL + "---\n" + SMALL, "line 4"),
    "a text alone": ("just words", "must hold keys and values"),
    "nothing": ("", "must hold keys and values"),
    "a tab": (SMALL + "\tseed: 1\n", "line 4"),
    "an unknown anchor": (SMALL + "seed: *other\n", "line 4.*undefined alias"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.timeout(20)
def test_a_hostile_text_is_one_sentence(kind: str) -> None:
    text, expected = TEXTS[kind]
    Path("hostile.yaml").write_bytes(text.encode("utf-8"))
    message = complaint(Path("hostile.yaml"))
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    assert message.isprintable(), message
    assert re.search(expected, message), message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    Path("other.yaml").write_bytes((SMALL + "description: café\n").encode(encoding))
    message = complaint(Path("other.yaml"))
    assert "UTF-8" in message
    assert len(message.splitlines()) == 1


def test_a_mark_of_byte_order_is_no_mistake() -> None:
    Path("marked.yaml").write_bytes(SMALL.encode("utf-8-sig"))
    assert load_experiment(Path("marked.yaml")).name == "small"


def test_random_bytes_are_refused() -> None:
    Path("bytes.yaml").write_bytes(random.Random(0).randbytes(10_000))
    assert "UTF-8" in complaint(Path("bytes.yaml"))


def test_a_folder_is_refused() -> None:
    Path("folder.yaml").mkdir()
    assert "is a folder" in complaint(Path("folder.yaml"))


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_without_waiting_for_a_writer() -> None:
    os.mkfifo("pipe.yaml")
    assert "is no regular file" in complaint(Path("pipe.yaml"))


def test_a_device_is_refused() -> None:
    assert "is no regular file" in complaint(Path("/dev/zero"))


def test_a_gigabyte_is_refused_without_reading_it() -> None:
    with Path("large.yaml").open("wb") as file:
        file.truncate(1_000_000_000)
    assert "at most 1,000,000" in complaint(Path("large.yaml"))


def test_an_alias_that_is_used_as_meant_is_read() -> None:
    text = SMALL.replace("{trials: 4}", "&limits {trials: 4}") + "description: &a words\n"
    Path("anchors.yaml").write_text(text)
    assert load_experiment(Path("anchors.yaml")).budget.trials == 4


@pytest.mark.parametrize("value", ["[" * 5000, "&a [*a]", "!!int many", '"\\0"', "2026-13-45", "{a: 1, a: 2}"])
def test_a_hostile_override_is_one_sentence(value: str) -> None:
    Path("small.yaml").write_text(SMALL)
    message = complaint(Path("small.yaml"), f"description={value}")
    assert message.startswith("--set description=")
    assert len(message.splitlines()) == 1
    assert len(message) < 600


@pytest.mark.timeout(60)
def test_a_bomb_takes_little_memory() -> None:
    Path("bomb.yaml").write_text(BOMB)
    code = (
        "from pathlib import Path\nfrom core.errors import ConfigError\n"
        "from search.experiment.experiment import load_experiment\n"
        "try: load_experiment(Path('bomb.yaml'))\nexcept ConfigError: pass\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 200_000  # kilobytes; reading a small file takes some 60,000


WORDS = ["trials", "name", "layout", "hands", "folder", "learning_rate", "type", "real", "when", "x", "seed_recipe"]
SCALARS = [
    *WORDS, "1", "0", "-1", "1e-4", "1e999", "-.inf", ".nan", "true", "no", "null", "~", "''", '"a"', "2026-11-28",
    "0x1f", "0o17", "1_000", "12:30:45", "99999999999999999999", "!!int 3", "!!float x", "!!binary aGk=", "!!set {a}",
    "é", "*a", "&a 1", "|\n  text", "%", "@", "`", "[", "}", ": ", "- ", "#", "<<", "module:function", "a:b:c", "../x",
]  # fmt: skip
GROUPS = [
    "name", "description", "seed", "corpus", "writers", "quarantine", "split", "ink", "patches", "space", "engine",
    "model", "training", "budget", "objective", "executor", "tracking", "promotion", "code", "patchs",
]  # fmt: skip
KEYS = [
    "layout", "root", "unit", "n_writers", "include", "top_writers", "n", "by", "validation", "test", "kind", "folds",
    "lists", "leaky", "size_px", "fraction", "base", "dimensions", "fixed", "enqueue", "name", "sampler", "pruner",
    "oracle", "storage", "epochs", "trials", "minutes", "metric", "direction", "run", "workers", "threads", "uri",
    "artifacts", "keep_models", "gate", "min_top1", "learning_rate", "n_blocks", "type", "low", "high", "step", "log",
    "choices", "when", "sha256",
]  # fmt: skip


def _value(draw: random.Random, depth: int = 0) -> str:
    kind = draw.random()
    if depth > 3 or kind < 0.5:
        return draw.choice(SCALARS)
    if kind < 0.75:
        return (
            "{" + ", ".join(f"{draw.choice(KEYS)}: {_value(draw, depth + 1)}" for _ in range(draw.randrange(4))) + "}"
        )
    return "[" + ", ".join(_value(draw, depth + 1) for _ in range(draw.randrange(4))) + "]"


def _text(draw: random.Random) -> str:
    text = SMALL if draw.random() < 0.8 else ""
    lines = [f"{draw.choice(GROUPS)}: {_value(draw)}" for _ in range(draw.randrange(1, 4))]
    text += "\n".join(lines)
    if draw.random() < 0.1:
        place = draw.randrange(len(text))
        text = text[:place] + chr(draw.choice([0, 9, 10, 27, 0x85, 0xFEFF, 0x2028, 0x1F600])) + text[place + 1 :]
    return text


def _try(draw: random.Random) -> None:
    path = Path("fuzz.yaml")
    path.write_bytes(_text(draw).encode("utf-8"))
    keys = ".".join(draw.choice([*GROUPS, *KEYS, "", "x"]) for _ in range(draw.randrange(1, 4)))
    overrides = [f"{keys}={_value(draw)}"] if draw.random() < 0.4 else []
    try:
        experiment: Any = load_experiment(path, overrides)
    except ConfigError:
        return
    assert experiment.snapshot()


def _fuzz(n: int, seed: int) -> None:
    for number in range(n):
        draw = random.Random(seed * 1_000_000 + number)
        try:
            _try(draw)
        except Exception as error:
            error.add_note(f"fuzz case {number} of seed {seed}")
            raise


@pytest.mark.timeout(200)
def test_what_a_grammar_makes_up_loads_or_is_refused_in_short() -> None:
    _fuzz(300, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_what_a_grammar_makes_up_loads_or_is_refused_20_000_times() -> None:
    _fuzz(20_000, seed=2)
