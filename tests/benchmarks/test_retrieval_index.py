from pathlib import Path

import numpy as np

from benchmarks.retrieval_index import _build, generated
from core.retrieval.descriptor_index import DescriptorIndex


def test_the_index_that_is_measured_is_whole(tmp_path: Path) -> None:
    cells = _build(tmp_path / "index", 250, 8, 100)
    assert cells[0] == "build"
    index = DescriptorIndex.open(tmp_path / "index")
    index.verify()
    assert len(index) == 250
    np.testing.assert_array_equal(index.descriptors()[100:200], generated(100, 8, seed=100))
    np.testing.assert_allclose(np.linalg.norm(index.descriptors(), axis=1), 1, rtol=1e-6)
