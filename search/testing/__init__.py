"""What every engine and every executor must keep, as base classes of tests for other people's, and
sweeps of simulated workers; needs pytest.

An engine of your own passes `search.testing.engines.EngineContract` by a subclass of three lines,
an executor `search.testing.executors.ExecutorContract`; `search.testing.simulation` runs a whole
sweep of it in seconds. See docs/adding_an_engine.md.
"""

import pytest

# So that a failed assert shows its values, as in a test file.
pytest.register_assert_rewrite("search.testing.engines", "search.testing.executors")
