"""The exceptions that whosehand raises on purpose.

Each message states the rule, the value that broke it and, where there is one, the mend. The command
line prints the message alone; anything that is not a `WhosehandError` is a defect of ours and keeps
its traceback.
"""

from core.passwords import without_passwords


class WhosehandError(Exception):
    """Root of everything that whosehand raises on purpose; its message never shows a password."""

    def __str__(self) -> str:
        """Return the message."""
        return without_passwords(super().__str__())


class CorpusError(WhosehandError):
    """A corpus folder is missing, is laid out otherwise than said, or holds too little."""


class ImageError(WhosehandError):
    """An image file is unreadable, empty or of no use."""


class SplitError(WhosehandError):
    """Pages cannot be divided as asked, or a manifest does not fit its corpus."""


class LineStoreError(WhosehandError):
    """A line store is damaged or cannot be built."""


class PatchError(WhosehandError):
    """No patches can be drawn as asked."""


class SpaceError(WhosehandError):
    """A search space or a point in it is not valid."""


class ModelError(WhosehandError):
    """No network can be built from these hyperparameters."""


class ComparisonError(WhosehandError):
    """Sweeps cannot be compared: their scores do not mean the same."""


class TrainingError(WhosehandError):
    """A fit ended in a way that no longer epoch can mend, such as a loss that is not a number."""


class RetrievalError(WhosehandError):
    """Pages cannot be described, compared, ranked or indexed as asked."""


class CheckpointError(WhosehandError):
    """A checkpoint is missing, damaged or of another fit."""


class ConfigError(WhosehandError):
    """An experiment file has a key or a value that is not allowed."""


class OwnCodeError(WhosehandError):
    """A function of the user's own cannot be found, has changed, or does not do what it must."""


class LedgerError(WhosehandError):
    """A sweep's ledger is damaged, locked or belongs to another experiment."""


class DiskError(WhosehandError):
    """The disk has too little room."""


class EngineError(WhosehandError):
    """A search engine cannot do what was asked of it."""


class TrackingError(WhosehandError):
    """The tracking store cannot be reached, written or understood."""


class RegistryError(WhosehandError):
    """No model can be promoted, found or loaded as asked."""
