"""`whosehand data preview --page FILE`: one page as it is read."""

from pathlib import Path

from search.cli.common import ImageUnit, read_experiment
from search.cli.terminal import output


def draw_page(page: Path, unit: ImageUnit, experiment: Path | None, overrides: list[str], out: Path) -> None:
    """Draw a page with its lines and patches, and say what was found.

    Args:
        page: the image file.
        unit: what it is.
        experiment: whose ink and patch settings count; the defaults without one.
        overrides: of the experiment's keys.
        out: the PNG file to write.

    Raises:
        ImageError: if the page cannot be read.
        ConfigError: if the experiment is not valid, or there are overrides and no experiment.
    """
    from core.errors import ConfigError
    from core.pages.text_lines import InkSettings
    from core.patches.plan import PatchSettings
    from core.scoring.page_picture import page_picture

    ink, patches = InkSettings(), PatchSettings()
    if experiment is not None:
        settings = read_experiment(experiment, overrides)
        ink, patches = settings.ink, settings.patches
    elif overrides:
        raise ConfigError(f"--set needs an experiment whose keys it overrides, but got {', '.join(overrides)} alone.")
    read = page_picture(page, unit.value, ink, patches, out)
    turned = f", turned by {read.skew_deg:.1f} degrees" if read.skew_deg else ""
    erased = f", {read.n_rules} rules erased" if read.n_rules else ""
    output.print(f"{read.n_lines} lines, {read.n_patches} patches{erased}{turned}", markup=False)
    output.print(f"wrote {out}", markup=False)
