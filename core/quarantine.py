"""What of a corpus cannot be used: set aside with a reason, counted, reported, and too much of it refused."""

from pydantic import Field

from core.settings import Settings


class QuarantineSettings(Settings):
    """What to do about images that cannot be used."""

    max_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """The share of a corpus's images that may be set aside; beyond it nothing is trained."""
