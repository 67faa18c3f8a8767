"""An objective that meets a full disk."""

import errno

from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec

FULL_DISK = f"{__name__}:meet_full_disk"


def meet_full_disk(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    raise OSError(errno.ENOSPC, "No space left on device")
