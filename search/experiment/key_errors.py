"""What validators of an experiment's groups raise when they know which keys below them are wrong."""

from collections.abc import Mapping


class WrongKeysError(ValueError):
    """Several mistakes at once, each at its own key.

    Attributes:
        complaints: by the keys below the group that is validated, what is wrong there; `()` is the group itself.
    """

    def __init__(self, complaints: Mapping[tuple[str | int, ...], str]) -> None:
        super().__init__("; ".join(complaints.values()))
        self.complaints = dict(complaints)
