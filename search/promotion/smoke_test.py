"""Does the registered model, loaded afresh in another process, say what the network said before it was packed?"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from search.identification.model_process import ModelProcess
from search.promotion.model_answers import ask_about
from search.promotion.packaging_task import ReferenceAnswer

TOLERANCE = {"float32": 1e-3, "mixed_bfloat16": 2e-2}
"""Largest difference of any writer's probability that still counts as the same.

Before, patches of many images went through the network in one batch, afterwards those of one: sums are added in another
order, and a temperature below 1 enlarges the difference. In float32 1e-5 and less was seen."""


@dataclass(frozen=True)
class SmokeTest:
    """How it went.

    Attributes:
        n_images: that were asked about.
        largest_difference: of any writer's probability.
        tolerance: that it had to stay within.
        latency_s: median seconds for an image, once the model is loaded.
        failure: what went wrong; empty if nothing did.
    """

    n_images: int
    largest_difference: float
    tolerance: float
    latency_s: float
    failure: str


def smoke_test(model: ModelProcess, references: Sequence[ReferenceAnswer], precision: str) -> SmokeTest:
    """Ask a freshly loaded model about validation images whose answers are known.

    Args:
        model: loaded from the registry.
        references: the network's own answers.
        precision: that both compute in.

    Raises:
        RegistryError: if the model's process ends.
    """
    answers = ask_about(model, [reference.image for reference in references])
    tolerance = TOLERANCE.get(precision, max(TOLERANCE.values()))
    expected = {reference.image.image_id: reference.probabilities for reference in references}
    differences = [
        abs(probability - expected[answer.image_id][writer_id])
        for answer in answers.images
        for writer_id, probability in answer.probabilities.items()
    ]
    largest = max(differences, default=0.0)
    failure = ""
    if answers.unusable:
        failure = f"it could not use {len(answers.unusable)} of {len(references)} validation images: " + "; ".join(
            answers.unusable.values()
        )
    elif not differences:
        failure = "there was no validation image to ask about"
    elif largest > tolerance:
        failure = f"its probabilities differ from the network's by {largest:.2g}, more than {tolerance:g}"
    latency_s = statistics.median(answer.duration_s for answer in answers.images) if answers.images else 0.0
    return SmokeTest(len(answers.images), largest, tolerance, latency_s, failure)
