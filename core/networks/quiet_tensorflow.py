"""TensorFlow, imported without what its C++ parts print to standard error before they can be told
not to.

Import this module before anything of TensorFlow or Keras. (TensorFlow 2.21 prints some lines before
it reads TF_CPP_MIN_LOG_LEVEL.) If the import fails, everything that was printed is shown.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what the process, C++ included, writes to standard error; show it if the block
    raises.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            sys.stderr.flush()
        except BaseException:
            sys.stderr.flush()
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


with quiet_stderr():
    import tensorflow  # noqa: F401
