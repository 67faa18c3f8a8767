"""What commands print: names that come from elsewhere are text, whatever is in them."""

import io
import time

import pytest
from rich.console import Console

from search.cli import common

ODD_NAMES = [
    *("[bold red]anna[/]", "[/]", "[link=file:///etc]x[/link]"),
    *("anna\x1b[2J\x1b[31m", "a\x9b31mb", "a\u202ecod.exe"),
]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to a terminal of 80 columns."""
    file = io.StringIO()
    console = common.PlainConsole()
    console.file, console.width = file, 80
    console._force_terminal = True  # rich has no public switch after a console is made
    monkeypatch.setattr(common, "output", console)
    monkeypatch.setattr(common, "notes", console)
    return file


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_printed_as_text(name: str, printed: io.StringIO) -> None:
    common.output.print(f"writer {name}")
    assert printed.getvalue() == f"writer {common.visible(name)}\n"
    assert not {"\x1b", "\x9b", "\u202e"} & {*printed.getvalue()}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_in_a_table_is_printed_as_text(name: str, printed: io.StringIO) -> None:
    common.print_table(("writer", "n"), [(name, "1")])
    assert common.visible(name) in printed.getvalue()
    assert name == common.visible(name) or name not in printed.getvalue()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_in_a_message_is_printed_as_text(name: str, printed: io.StringIO) -> None:
    for say in (common.print_error, common.print_warning, common.print_note):
        say(f"about {name}")
    assert printed.getvalue().count(f"about {common.visible(name)}") == 3


def test_columns_that_a_narrow_terminal_has_no_room_for_are_left_out_in_order(printed: io.StringIO) -> None:
    header, row = ("name", "first", "second", "third"), ("a" * 30, "b" * 30, "c" * 30, "d" * 10)
    assert common.print_table(header, [row], n_text_columns=4, optional=(2, 1)) == ["second"]
    assert "c" * 30 not in printed.getvalue()
    assert "d" * 10 in printed.getvalue()


LONG_PATHS = [(f"scans of the spring/box {n}/anna-{n}.png", "none of the known writers", "3") for n in range(2)]


def test_a_long_path_is_shortened_at_its_left_and_keeps_one_row(printed: io.StringIO) -> None:
    common.output.width = 60
    common.print_table(("image", "writer", "lines"), LONG_PATHS, n_text_columns=2, path_column=0)
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    rows = [line.split()[0] for line in lines if "none of the known" in line]
    assert [row[0] for row in rows] == ["…", "…"]
    assert all(f"box {n}/anna-{n}.png" in printed.getvalue() for n in range(2))


def test_a_file_gets_long_paths_whole(printed: io.StringIO) -> None:
    common.output.width, common.output._force_terminal = 60, False
    common.print_table(("image", "writer", "lines"), LONG_PATHS, n_text_columns=2, path_column=0)
    assert all(path in printed.getvalue() for path, _, _ in LONG_PATHS)


def test_a_console_of_rich_would_have_obeyed() -> None:
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=80).print("[bold]anna[/]")
    assert "\x1b[1m" in file.getvalue()


class TestProgress:
    @pytest.fixture
    def lines(self, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
        """What goes to a file that standard error was sent to."""
        file = io.StringIO()
        console = common.PlainConsole()
        console.file = file
        monkeypatch.setattr(common, "notes", console)
        monkeypatch.setattr(common, "_SILENCE_S", 0.02)
        return file

    def test_a_file_gets_a_line_now_and_then_also_before_anything_can_be_counted(self, lines: io.StringIO) -> None:
        with common.progress_bar("reading") as advance:
            self.wait_for(lines, "reading ...\n")
            advance(3, 1000)
            self.wait_for(lines, "reading: 3 of 1,000\n")

    def test_at_the_end_nothing_more_is_said(self, lines: io.StringIO) -> None:
        with common.progress_bar("reading"):
            self.wait_for(lines, "reading ...\n")
        said = lines.getvalue()
        time.sleep(0.1)
        assert lines.getvalue() == said

    def test_what_ends_at_once_says_nothing(self, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(common, "_SILENCE_S", 20.0)
        with common.progress_bar("reading") as advance:
            advance(1, 1)
        assert lines.getvalue() == ""

    def test_a_terminal_shows_a_bar_after_a_moment_also_before_anything_can_be_counted(
        self, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(common, "_PATIENCE_S", 0.02)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(common.notes, "is_interactive", True)
        with common.progress_bar("reading"):
            self.wait_for(printed, "reading")

    @staticmethod
    def wait_for(file: io.StringIO, text: str) -> None:
        ends_s = time.monotonic() + 5.0
        while text not in file.getvalue():
            assert time.monotonic() < ends_s, file.getvalue()
            time.sleep(0.01)
