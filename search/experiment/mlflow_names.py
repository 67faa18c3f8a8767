"""Names and texts as MLflow takes them, checked where they are given and not hours later.

Written down here, because reading an experiment must not wait for MLflow's import; a test compares
them with the rules of the MLflow that is installed.
"""

import posixpath
import re
import unicodedata

LONGEST_MODEL_NAME = 200
LONGEST_KEY = 250
LONGEST_PARAM = 6000
_NOT_IN_MODEL_NAMES = "/:'?@"
"""MLflow's, its search's and its addresses' (`models:/name@alias`) together."""
_METRIC = re.compile(r"^[/\w.\- ]*$")


def check_model_name(name: str) -> None:
    """See that a registered model can be called so, and be found by that name.

    Raises:
        ValueError: says what is not allowed.
    """
    wrong = [letter for letter in name if letter in _NOT_IN_MODEL_NAMES or unicodedata.category(letter) in ("Cc", "Cs")]
    if wrong:
        shown = ", ".join(dict.fromkeys(map(repr, wrong)))
        raise ValueError(f"must be a name for MLflow's registry, which allows no {shown}, but got {name!r}")
    if not name.strip() or name in (".", ".."):
        raise ValueError(f"must be a name for MLflow's registry, but got {name!r}")
    if len(name) > LONGEST_MODEL_NAME:
        raise ValueError(f"must have at most {LONGEST_MODEL_NAME} characters, but has {len(name)}")


def check_metric_name(name: str) -> None:
    """See that MLflow keeps a metric of this name.

    Raises:
        ValueError: says what is not allowed.
    """
    if not _METRIC.match(name) or name.endswith("\n"):
        raise ValueError(
            f"must be letters, digits, `_`, `-`, `.`, `/` and blanks, as MLflow wants it, but got {name!r}"
        )
    if posixpath.normpath(name) != name or name == "." or name.startswith(("..", "/")):
        raise ValueError(f"must be no path that leads elsewhere, as MLflow wants it, but got {name!r}")
    if len(name) > LONGEST_KEY - len("best/"):
        raise ValueError(f"must have at most {LONGEST_KEY - len('best/')} characters, but has {len(name)}")


def check_param(name: str, value: object = "") -> None:
    """See that MLflow keeps a hyperparameter whole; that its name is a word is seen elsewhere.

    Raises:
        ValueError: says what is too long.
    """
    if len(name) > LONGEST_KEY:
        raise ValueError(
            f"must have a name of at most {LONGEST_KEY} characters, as MLflow wants it, but has {len(name)}"
        )
    if len(str(value)) > LONGEST_PARAM:
        raise ValueError(
            f"must be a text of at most {LONGEST_PARAM} characters, as MLflow wants it, but has {len(str(value))}"
        )
