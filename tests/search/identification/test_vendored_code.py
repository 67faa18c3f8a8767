import ast
import re
from pathlib import Path

import pytest

from core.errors import RegistryError
from search.identification.identifier_folder import vendor_code

ROOT = "search.identification.served_model"


def test_the_copy_holds_all_that_it_imports_and_nothing_points_out_of_it(tmp_path: Path) -> None:
    code = vendor_code(ROOT, tmp_path)
    files = sorted((tmp_path / code.package).rglob("*.py"))
    assert (tmp_path / code.package / "search" / "identification" / "served_model.py") in files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in ("core", "search"), (path, name)
                if name.startswith(code.package):
                    module = tmp_path.joinpath(*name.split("."))
                    assert module.with_suffix(".py").exists() or (module / "__init__.py").exists(), name


def test_what_trains_sweeps_or_reads_corpora_is_not_in_it(tmp_path: Path) -> None:
    code = vendor_code(ROOT, tmp_path)
    names = {path.stem for path in (tmp_path / code.package).rglob("*.py")}
    assert names.isdisjoint({"training", "linestore", "hands", "tracker", "promote", "model", "space"})


def test_its_requirements_are_named_as_pip_knows_them(tmp_path: Path) -> None:
    distributions = vendor_code(ROOT, tmp_path).distributions
    assert {"tensorflow", "keras", "mlflow", "opencv-python-headless", "pillow", "numpy"} <= set(distributions)
    assert not {"cv2", "PIL", "core", "optuna", "scikit-learn", "whosehand"} & set(distributions)


def test_the_name_says_what_is_in_it(tmp_path: Path) -> None:
    first, second = vendor_code(ROOT, tmp_path / "a"), vendor_code(ROOT, tmp_path / "b")
    other = vendor_code("core.pages.text_lines", tmp_path / "c")
    assert first.package == second.package != other.package
    assert re.fullmatch(r"whosehand_model_[0-9a-f]{12}", first.package)


def test_a_module_that_cannot_be_found_or_moved_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegistryError, match=r"no module 'core\.nothing'"):
        vendor_code("core.nothing", tmp_path)
    module = tmp_path / "uses_the_name.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    module.write_text("import core.pages.text_lines\n\nprint(core.pages.text_lines)\n")
    with pytest.raises(RegistryError, match="uses the name `core` itself"):
        vendor_code("uses_the_name", tmp_path / "copy")
