"""What it brings a small corpus to begin with a network that was trained on generated handwriting:
all its weights but the last layer's.

    python -m benchmarks.pretrained --dhsd PATH             (DHSD with 2, 4 and 8 words a writer)
    python -m benchmarks.pretrained --writers 500 --seeds 1

One network is trained on generated writers; then each row is fitted twice for each seed, from
random weights and from those, on equally many patches, and judged on validation words. Each fit is
kept in a JSON file, and the same command goes on from there. Test words are never touched.
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
        fits: list[list[Mapping[str, Any]]] = [[], []]
        for seed in range(seeds):
            for kept, begins_with in zip(fits, (None, weights), strict=True):
                notes.print(f"{words} words, seed {seed}, {'random weights' if begins_with is None else 'trained'} ...")
                kept.append(lab.fit(corpus, point, patches // epochs, epochs, seed, begins_with))
        rows.append(_row(words, *fits))
    columns = ("words a writer", *(f"{score}: random, trained" for score in _SCORES), "difference in log-loss")
    first = counted(writers, "generated writer")
    remarks = [
        f"the middle of the preset `{preset}`; first {first_patches:,} patches of {first}, "
        f"then {patches:,} of DHSD; last epoch; means of {counted(seeds, 'seed')}",
        "difference: trained less random, of the same seed; mean and standard error; less is better",
    ]
    print_report("To begin with a network of generated handwriting", columns, rows, remarks)


def _row(words: int, random: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    def values(fits: Sequence[Mapping[str, Any]], score: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        return np.array([fit["last"][score] for fit in fits])

    def both(score: str, form: str) -> str:
        return ", ".join(format(float(values(fits, score).mean()), form) for fits in (random, trained))

    apart = values(trained, "image_logloss") - values(random, "image_logloss")
    spread = f" ± {apart.std(ddof=1) / np.sqrt(len(apart)):.3f}" if len(apart) > 1 else ""
    cells = [both(score, ".3f" if score == "image_logloss" else ".1%") for score in _SCORES]
    return (str(words), *cells, f"{apart.mean():+.3f}{spread}")


if __name__ == "__main__":
    typer.run(main)
