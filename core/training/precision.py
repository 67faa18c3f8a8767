"""Which arithmetic to train in: what this machine's processor is good at. Free of TensorFlow."""

from pathlib import Path
from typing import Literal, cast, get_args

Precision = Literal["float32", "mixed_bfloat16"]
_FLAG = "amx_bf16"


def choose_precision(choice: str = "auto", cpu_description: Path = Path("/proc/cpuinfo")) -> Precision:
    """Resolve `auto`.

    Args:
        choice: `auto`, `float32` or `mixed_bfloat16`; the last two are given back as they are.
        cpu_description: where Linux lists the processor's flags.

    Returns:
        For `auto`, `mixed_bfloat16` where the processor has tiles for bfloat16 matrices (amx_bf16), else `float32`.
        The vector instructions avx512_bf16 alone do not count: with them the convolutions of a small network took 1.5
        to 2 times as long as in float32.

    Raises:
        ValueError: if the choice is none of the three.
    """
    if choice == "auto":
        return "mixed_bfloat16" if _FLAG in cpu_flags(cpu_description) else "float32"
    for precision in get_args(Precision):
        if choice == precision:
            return cast(Precision, precision)
    raise ValueError(f"A precision must be auto, float32 or mixed_bfloat16, but got {choice!r}.")


def cpu_flags(cpu_description: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags of the first processor; empty on systems that do not list them (macOS, Windows)."""
    try:
        with cpu_description.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
