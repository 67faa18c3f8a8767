"""What a promotion came to, and how a notebook shows it."""

import base64
import json
from dataclasses import dataclass
from html import escape
from typing import Literal

from search.objectives.tasks import RETRIEVAL_PICTURE
from search.promotion.examination import Examined, TestScores
from search.promotion.gate import Comparison, GateResult
from search.promotion.model_card import CARD_FILE
from search.promotion.refit import Refit
from search.tracking.registry import RegisteredVersion

Became = Literal["champion", "challenger", "unchanged"]


@dataclass(frozen=True)
class Promotion:
    """What a promotion came to.

    Attributes:
        version: in the registry.
        became: `champion`, or `challenger` if it did not pass the gate; `unchanged` if it was
            champion already.
        former: the champion before, if there was another one.
        refit: the fit that the model is of.
        scores: of the network on the test set; `None` if the split has none, or the smoke test
            failed.
        examined: of the registered model.
        comparison: with the champion; `None` without one.
        gate_result: of the gate.
        was_opened_before: the scores are of an earlier promotion of the same fit, for which the
            test set is not opened again.
        n_openings: how often the test set has been opened until now.
    """

    version: RegisteredVersion
    became: Became
    former: RegisteredVersion | None
    refit: Refit
    scores: TestScores | None
    examined: Examined
    comparison: Comparison | None
    gate_result: GateResult
    was_opened_before: bool
    n_openings: int

    @property
    def is_champion(self) -> bool:
        """Whether the model is the champion now."""
        return self.became != "challenger"

    @property
    def gate(self) -> GateResult:
        """The gate's checks, and the reasons where one was not passed."""
        return self.gate_result

    @property
    def card(self) -> str:
        """The model card as Markdown: what it was trained on, how well it does, what it cannot
        do.
        """
        path = self.refit.folder / CARD_FILE
        return path.read_text(encoding="utf-8") if path.exists() else self.version.description

    def __repr__(self) -> str:
        """What Python's prompt shows."""
        return f"Promotion of {self.version.name}, version {self.version.version}: {self.became}"

    def _repr_html_(self) -> str:
        """What a notebook shows: what became of it and why, scores with intervals, confusion."""
        gate = self.gate_result
        reasons = [*gate.reasons, *([gate.undecided] if gate.undecided else []), *gate.remarks]
        listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
        said = f"<p><b>{escape(self.version.name)}</b> version {self.version.version}: {self.became}</p>"
        return f"{said}<ul>{listed}</ul>{_scores_as_html(self.scores) if self.scores else ''}"


def _scores_as_html(scores: TestScores) -> str:
    files = scores.result.artifacts
    kept = json.loads(files["test/scores.json"].path.read_text(encoding="utf-8"))
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{each['value']:.4g}</td><td>{each['low']:.4g} to {each['high']:.4g}</td></tr>"
        for name, each in kept["scores"].items()
    )
    found = f"test/{RETRIEVAL_PICTURE}"
    is_found = found in files  # writers whom training has not seen are not taken for each other
    picture = base64.b64encode(files[found if is_found else "test/confusion.png"].path.read_bytes()).decode()
    text = "How well test pages are found" if is_found else "Confusion matrix of the test images"
    shown = f'<img src="data:image/png;base64,{picture}" alt="{text}" width="{720 if is_found else 480}">'
    head = f"<tr><th>test score</th><th>value</th><th>{escape(kept['interval'])}</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{shown}"
