"""Output forms: a document is JSON whatever is in it, text obeys no one's escapes, a table's rows stay on their lines."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cli import output

WHEN = datetime(2026, 3, 1, 13, 30, 5, 250_000, tzinfo=timezone(timedelta(hours=1)))


def test_control_characters_and_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    assert output.printable("a\x1b[31mb\rc\udc80\u202e") == "a\\x1b[31mb\\rc\\udc80\\u202e"
    assert output.printable("Blåbær\nto linjer") == "Blåbær\nto linjer"


def test_results_go_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("result \x1b[2J")
    output.note("progress \x1b[2J")
    assert capsys.readouterr() == ("result \\x1b[2J\n", "progress \\x1b[2J\n")


def test_a_document_holds_times_in_utc_and_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"at": WHEN, "path": "a\udc80", "none": None})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-03-01T12:30:05.250000Z", "path": "a\udc80", "none": None}
    with pytest.raises(TypeError, match="set has no JSON form"):
        output.document({"x": {1}})


def test_a_table_keeps_each_row_on_one_line_and_takes_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "count"), [("[red]x[/]\x1b[31m", "1,000"), ("b" * 120, "7")], right=("count",))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["name", "count"]
    assert lines[1].startswith("[red]x[/]\\x1b[31m ")
    assert lines[1].endswith(" 1,000")
    assert lines[2].endswith(" " * 6 + "7")
    assert [line for line in lines if line != line.rstrip()] == []


def test_counts_are_named_and_zero_is_left_out() -> None:
    assert output.counts({"held": 3, "erased": 1200, "renewed": 0}) == "1,200 erased, 3 held"
    assert output.counts({}) == "-"
    assert [output.many(n, "entry") for n in (0, 1, 2000)] == ["0 entries", "1 entry", "2,000 entries"]
    assert output.many(1, "file") + output.many(2, "file") == "1 file2 files"


def test_times_and_ages_are_short_and_in_utc() -> None:
    assert output.when(WHEN) == "2026-03-01 12:30:05Z"
    assert output.when(None) == "-"
    spans = [timedelta(seconds=s) for s in (-5, 0, 59, 60, 3_599, 3_600, 86_399, 86_400 * 40)]
    assert [output.age(span) for span in spans] == ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "40 d"]


def test_progress_says_nothing_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.busy("working") as tell:
        tell("still working")
    assert capsys.readouterr() == ("", "")


def test_a_time_without_an_offset_is_refused_in_a_document() -> None:
    with pytest.raises(ValueError, match="aware"):
        output.document(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))
