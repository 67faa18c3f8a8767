"""Options that several benchmarks share."""

from pathlib import Path
from typing import Annotated

import typer

from search.executors.machine import count_cores

Rounds = Annotated[int, typer.Option(min=1, help="Rounds after the warm-up; what is compared takes turns in each.")]
Scale = Annotated[float, typer.Option(min=0.001, help="Factor on the patches of each round.")]
Threads = Annotated[int, typer.Option(min=0, help="TensorFlow's threads; 0 for all cores.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or mixed_bfloat16.")]
Alike = Annotated[float, typer.Option(min=0, max=0.99, help="How much alike the writers of hands are.")]
DhsdRoot = Annotated[Path, typer.Option(help="The folder of DHSD.")]
FoldPatches = Annotated[int, typer.Option(min=400, help="Patches that each network is trained on.")]
PerPage = Annotated[int, typer.Option(min=1, help="Most patches of a page.")]
WriterParts = Annotated[
    tuple[int, int, int], typer.Option(help="Generated writers that train, calibrate and are scored.")
]
GeneratedPages = Annotated[int, typer.Option(min=2, help="Pages of each generated writer.")]
KeptFolds = Annotated[Path, typer.Option(help="Where networks, embeddings and scores are kept.")]
KEPT_FOLDS = Path("data/benchmark-retrieval_levers")
"""Shared: the folds, networks and embeddings are the same."""


def resolve_threads(threads: int) -> int:
    """All cores where 0 was asked for."""
    return threads or count_cores()
