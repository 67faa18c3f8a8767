from pathlib import Path

import pytest

from core.training.plan import choose_precision, cpu_flags


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx2", "float32"), ("avx512f avx512_bf16", "float32"), ("amx_bf16 fpu", "mixed_bfloat16")],
)
def test_auto_looks_at_the_processor(tmp_path: Path, flags: str, precision: str) -> None:
    description = tmp_path / "cpuinfo"
    description.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n\n", encoding="utf-8")
    assert choose_precision("auto", description) == precision


def test_a_system_without_a_list_of_flags_gets_float32(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "absent") == frozenset()
    assert choose_precision("auto", tmp_path / "absent") == "float32"


def test_a_choice_is_taken_as_it_is() -> None:
    assert choose_precision("float32") == "float32"
    assert choose_precision("mixed_bfloat16") == "mixed_bfloat16"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="must be auto, float32 or mixed_bfloat16, but got 'float16'"):
        choose_precision("float16")
