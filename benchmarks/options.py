"""Options that several benchmarks share."""

from typing import Annotated

import typer

from search.executors.machine import count_cores

Rounds = Annotated[int, typer.Option(min=1, help="Rounds after the warm-up; what is compared takes turns in each.")]
Scale = Annotated[float, typer.Option(min=0.001, help="Factor on the patches of each round.")]
Threads = Annotated[int, typer.Option(min=0, help="TensorFlow's threads; 0 for all cores.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or mixed_bfloat16.")]


def resolve_threads(threads: int) -> int:
    """All cores where 0 was asked for."""
    return threads or count_cores()
