"""Tells apart what made a trial fail, as far as it decides what happens next."""

import errno
from collections.abc import Iterator

from core.errors import CorpusError, ImageError, LineStoreError, SplitError
from search.ledger.trial import FailureKind

DATA_ERRORS = (CorpusError, ImageError, LineStoreError, SplitError)
"""What concerns all trials alike: corpus, line store and split are the same for each."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError")  # Python's, NumPy's (a subclass), TensorFlow's


def kind_of(error: BaseException) -> FailureKind:
    """Say what kind of failure an exception is, by itself or by what caused it."""
    chain = list(_chain(error))
    if any(is_disk_full(each) for each in chain):
        return FailureKind.DISK_FULL
    if any(base.__name__ in _OUT_OF_MEMORY for each in chain for base in type(each).__mro__):
        return FailureKind.OUT_OF_MEMORY
    if any(isinstance(each, DATA_ERRORS) for each in chain):
        return FailureKind.BAD_DATA
    return FailureKind.ERROR


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed because the disk, or the user's quota, is used up."""
    return (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
