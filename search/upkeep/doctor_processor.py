"""The processor, and which arithmetic it makes whosehand choose."""

from collections.abc import Iterator

from core.training.precision import choose_precision, cpu_flags
from search.executors.machine import MEMORY_PER_WORKER_BYTES, count_cores, free_memory_bytes, list_gpus
from search.upkeep.machine_checks import Finding, Level, Subject

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_TENSORFLOW_NEEDS = "avx"


def check_processor(subject: Subject) -> Iterator[Finding]:
    """Say what the processor can do, what precision follows and why, and whether memory suffices for a worker."""
    flags = cpu_flags()
    features = ", ".join(name for name in _FEATURES if name in flags) or "none of " + ", ".join(_FEATURES)
    gpus = list_gpus()
    cards = f", {len(gpus)} graphics cards" if gpus else ""
    yield Finding(Level.OK, "processor", f"{count_cores()} cores{cards}; {features}")
    if flags and _TENSORFLOW_NEEDS not in flags and "avx2" not in flags:
        yield Finding(
            Level.PROBLEM, "processor", "TensorFlow's wheels need AVX, which it lacks", "train on another machine"
        )
    asked = subject.experiment.training.precision if subject.experiment is not None else "auto"
    chosen = choose_precision(asked)
    if asked != "auto":
        why = "the experiment says so"
    elif chosen == "float32":
        why = "it has no amx_bf16; without it bfloat16 is slower"
    else:
        why = "it has amx_bf16"
    yield Finding(Level.OK, "precision", f"{chosen}, because {why}")
    free_bytes = free_memory_bytes()
    if free_bytes < MEMORY_PER_WORKER_BYTES:
        text = f"{free_bytes / 1e9:.1f} GB are free; a worker takes about {MEMORY_PER_WORKER_BYTES / 1e9:.1f} GB"
        yield Finding(Level.NOTE, "memory", text, "close what else runs, or expect workers to be lost")
