from pathlib import Path

import numpy as np
import pytest

from search.comparison.trial_table import read_confusion
from search.ledger.events import SegmentEnded, TrialProposed
from search.ledger.files import reference_file
from search.ledger.state import TrialRecord
from search.ledger.trial import TrialResult, TrialState

CELLS = "true writer,named writer,images\n'=a,'=a,3\n'=a,c,1\nb,b,0\nb,c,2\nc,c,4\n"
WHOLE_MATRIX_OF_0_1 = "true writer,'=a,b,c\n'=a,3,0,1\nb,0,0,2\nc,0,0,4\n"


def _trial(table: Path) -> TrialRecord:
    result = TrialResult(TrialState.COMPLETED, value=0.5, artifacts={"confusion.csv": reference_file(table)})
    proposed = TrialProposed(0, 0, {}, {}, 0, None, 1)
    return TrialRecord(proposed, None, TrialState.COMPLETED, ended=SegmentEnded(0, 0, 1, result))


@pytest.mark.parametrize("content", [CELLS, WHOLE_MATRIX_OF_0_1], ids=["cells", "of 0.1"])
def test_a_confusion_table_is_read_whoever_wrote_it(content: str, tmp_path: Path) -> None:
    table = tmp_path / "confusion.csv"
    table.write_text(content)
    found = read_confusion(_trial(table))
    assert found is not None
    assert found[0] == ("=a", "b", "c")
    np.testing.assert_array_equal(found[1].toarray(), [[3, 0, 1], [0, 0, 2], [0, 0, 4]])
    assert found[1].nnz == 4
