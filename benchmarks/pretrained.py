"""What it brings a small corpus to begin with a network that was trained on generated handwriting:
all its weights but the last layer's.

    python -m benchmarks.pretrained --dhsd PATH             (DHSD with 2, 4 and 8 words a writer)
    python -m benchmarks.pretrained --writers 500 --seeds 1

One network is trained on generated writers; then each row is fitted three times for each seed: from
random weights and from those, on equally many patches, and from random weights on as many as both
fits had together, which is equal cost. Judged on validation words; test words are never touched.
Each fit is kept in a JSON file, and the same command goes on from there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.laboratory import Laboratory
from benchmarks.options import DhsdRoot, Precision, Threads, resolve_threads
from benchmarks.report import notes, print_report
from core.corpora.settings import DhsdSettings, HandsSettings
from core.networks.presets import find_preset
from core.training.plan import choose_precision
from core.wording import counted

WORDS = (2, 4, 8)
_SCORES = ("patch_top1", "image_top1", "image_logloss")
_FITS = ("random", "trained", "random, longer")


def main(
    writers: Annotated[int, typer.Option(min=2, help="Generated writers that the first network learns.")] = 200,
    first_patches: Annotated[int, typer.Option(min=200, help="Training patches of the first network.")] = 60_000,
    patches: Annotated[int, typer.Option(min=200, help="Training patches of each fit.")] = 20_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each fit.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Pairs of fits of each row.")] = 3,
    preset: Annotated[str, typer.Option(help="The network is the middle of this preset.")] = "small",
    dhsd: DhsdRoot = Path("data/dhsd"),
    out: Annotated[Path, typer.Option(help="File of results to go on with.")] = Path("data/pretrained.json"),
    threads: Threads = 0,
    precision: Precision = "auto",
) -> None:
    """Measure what a first network on generated handwriting brings."""
    point = find_preset(preset).middle
    lab = Laboratory(KeptResults(out), resolve_threads(threads), choose_precision(precision), 0, out.parent)
    weights = out.with_name(f"{preset}-{writers}-writers-{first_patches}-patches.npz")
    hands = lab.prepare(f"hands-{writers}", HandsSettings(n_writers=writers))
    notes.print(f"the first network, on {counted(writers, 'writer')} ...")
    lab.fit(hands, point, first_patches // epochs, epochs, leaves=weights)
    rows = []
    for words in WORDS:
        corpus = lab.prepare(f"dhsd-{words}", DhsdSettings(root=dhsd), train_images=words)
        fits: Mapping[str, list[Mapping[str, Any]]] = {name: [] for name in _FITS}
        for seed in range(seeds):
            for name, kept in fits.items():
                notes.print(f"{words} words, seed {seed}, {name} ...")
                n_patches = patches + (first_patches if name == "random, longer" else 0)
                begins_with = weights if name == "trained" else None
                kept.append(lab.fit(corpus, point, n_patches // epochs, epochs, seed, begins_with))
        rows.append(_row(words, fits))
    columns = (
        "words a writer",
        *(f"{score}: {'; '.join(_FITS)}" for score in _SCORES),
        "trained less random",
        "trained less longer",
    )
    first = counted(writers, "generated writer")
    remarks = [
        f"the middle of the preset `{preset}`; first {first_patches:,} patches of {first}, "
        f"then {patches:,} of DHSD; longer: {first_patches + patches:,} of DHSD; last epoch; means of "
        f"{counted(seeds, 'seed')}",
        "differences: of the word log-loss at the same seed, mean and standard error; less is better",
    ]
    print_report("To begin with a network of generated handwriting", columns, rows, remarks)


def _row(words: int, fits: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, ...]:
    def values(name: str, score: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        return np.array([fit["last"][score] for fit in fits[name]])

    def means(score: str, form: str) -> str:
        return "; ".join(format(float(values(name, score).mean()), form) for name in _FITS)

    def apart(other: str) -> str:
        gains = values("trained", "image_logloss") - values(other, "image_logloss")
        spread = f" ± {gains.std(ddof=1) / np.sqrt(len(gains)):.3f}" if len(gains) > 1 else ""
        return f"{gains.mean():+.3f}{spread}"

    cells = [means(score, ".3f" if score == "image_logloss" else ".1%") for score in _SCORES]
    return (str(words), *cells, apart("random"), apart("random, longer"))


if __name__ == "__main__":
    typer.run(main)
