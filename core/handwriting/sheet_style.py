"""What a sheet has besides its handwriting, and what became of it on the desk and in the scanner.

Pure data: settings name these, and `core.handwriting.sheet` draws them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Paper = Literal["plain", "ruled", "squared", "dotted"]
Edge = Literal["none", "shadow", "band", "corners", "punch_holes"]
Skew = Literal["none", "turn", "slope", "fan", "curve"]
Form = Literal["none", "iam", "cvl"]
Tool = Literal["pen", "pencil"]
LastLine = Literal["full", "short"]


@dataclass(frozen=True)
class SheetStyle:
    """How a sheet looks.

    Attributes:
        form: `iam`: title, prompt and a place for the name in print, parted by three rules; `cvl`:
            title and prompt.
        paper: its ruling; on ruled paper the writer keeps to the rules.
        rule_darkness: of the ruling, 1 for black.
        tool: a pencil leaves light, grainy strokes.
        columns: of text, side by side.
        last_line: whether the last line of a column ends after a word or two.
        turn_deg: how far the sheet lies turned, positive against the clock.
        slope_deg: how much all lines rise on the sheet.
        fan_deg: how much more the last line rises than the first.
        curve: how far the middle of each line lies above its ends, in distances of lines.
        edge: what the scanner shows of the surroundings: the `shadow` of a book's fold, a `band` of
            lid or desk, black `corners` around a turned sheet, or `punch_holes`.
        edge_share: its width over that of the sheet.
        edge_tilt_deg: how far it is from parallel with the sheet.
        noise: standard deviation of what the scanner adds, in grey values.
        n_specks: of dust, 1 to 6 px across.
        missing_rule: leave out this rule of a form, from 0 at the top.
        is_signed: whether a form of IAM's bears a signature in its footer, on the footer's rule.
        zoom: factor on the size of the handwriting.
    """

    form: Form = "none"
    paper: Paper = "plain"
    rule_darkness: float = 0.45
    tool: Tool = "pen"
    columns: int = 1
    last_line: LastLine = "full"
    turn_deg: float = 0.0
    slope_deg: float = 0.0
    fan_deg: float = 0.0
    curve: float = 0.0
    edge: Edge = "none"
    edge_share: float = 0.04
    edge_tilt_deg: float = 0.0
    noise: float = 0.0
    n_specks: int = 0
    missing_rule: int | None = None
    is_signed: bool = False
    zoom: float = 1.0


def draw_style(
    generator: np.random.Generator,
    paper: Paper = "plain",
    edge: Edge = "none",
    skew: Skew = "none",
    tool: Tool = "pen",
    columns: int = 1,
    last_line: LastLine = "full",
    form: Form = "none",
) -> SheetStyle:
    """Draw how strong each named trouble is: from weak to as strong as people's scans have it.

    Args:
        generator: for the strengths.
        paper: see `SheetStyle`, as the others.
        edge: 0.2 to 8 % of the sheet's width, tilted by up to 2 degrees, black to light grey.
        skew: a `turn` or `slope` of 1 to 10 degrees either way, a `fan` of 2 to 6 degrees, or a
            `curve` of 0.2 to 0.5 distances of lines.
        tool: see `SheetStyle`, as the others.
        columns: side by side.
        last_line: of each column.
        form: signed in every second case, if it is IAM's.
    """
    sign = 1.0 if generator.random() < 0.5 else -1.0
    strength = float(generator.random())
    edge_share, tilt = float(generator.uniform(0.002, 0.08)), float(generator.uniform(-2, 2))
    return SheetStyle(
        form=form,
        paper=paper,
        rule_darkness=float(generator.uniform(0.2, 0.6)),
        tool=tool,
        columns=columns,
        last_line=last_line,
        turn_deg=sign * (1 + 9 * strength) if skew == "turn" else 0.0,
        slope_deg=sign * (1 + 9 * strength) if skew == "slope" else 0.0,
        fan_deg=sign * (2 + 4 * strength) if skew == "fan" else 0.0,
        curve=sign * (0.2 + 0.3 * strength) if skew == "curve" else 0.0,
        edge=edge,
        edge_share=edge_share,
        edge_tilt_deg=tilt,
        is_signed=form == "iam" and bool(generator.random() < 0.5),
    )
