"""Figures, targets, the table, the page and the picture: what is said of a measurement is what was measured."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.__main__ import SCENARIOS, table
from bench.chart import PANELS, draw
from bench.figures import RESULTS, Figures, Ran, decode, encode, number, spread
from bench.result import Result
from bench.targets import TARGETS, Target

MACHINE = {
    "cpu": "Some CPU",
    "cores": "2",
    "python": "3.11.9",
    "platform": "Linux x86_64",
    "sdks": "azure-storage-blob 12",
}


def ran(*found: tuple[str, Sequence[float]]) -> Figures:
    figures = tuple(Result(name=name, unit="records/s", samples=tuple(samples)) for name, samples in found)
    one = Ran(when="2026-01-31 12:00", seconds=12.3, quick=False, machine=MACHINE, figures=figures)
    return Figures(ran={"growth": one})


def test_what_is_written_is_read_again() -> None:
    figures = ran(("a", [1.5, 2.0]), ("b", [3.0]))
    assert decode(encode(figures)) == figures


def test_a_ratio_is_taken_repetition_by_repetition() -> None:
    figures = ran(("ours", [10.0, 90.0, 30.0]), ("raw", [10.0, 100.0, 20.0]))
    assert figures.ratio("ours", "raw") == (1.0, 0.9, 1.5)


def test_a_ratio_of_unequal_numbers_of_repetitions_is_that_of_the_medians() -> None:
    assert ran(("ours", [10.0, 30.0, 20.0]), ("raw", [10.0])).ratio("ours", "raw") == (2.0,)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(text="", figure="ours", to="raw", bound=0.9), True),
        (Target(text="", figure="ours", to="raw", bound=1.1), False),
        (Target(text="", figure="ours", to="raw", bound=1.1, least=False), True),
        (Target(text="", figure="ours", to="raw", bound=0.9, least=False), False),
        (Target(text="", figure="ours", bound=20), True),
        (Target(text="", figure="ours", bound=21), False),
        (Target(text="", figure="ours", to="nobody", bound=0), None),
        (Target(text="", figure="nobody", bound=0), None),
    ],
)
def test_a_target_is_met_missed_or_not_measured(target: Target, met: bool | None) -> None:
    figures = ran(("ours", [10.0, 20.0, 30.0]), ("raw", [10.0, 20.0, 30.0]))
    assert figures.verdict(target).met is met


def test_whatever_the_noise_means_our_worst_against_their_best() -> None:
    noisy = ran(("ours", [10.0, 30.0]), ("loop", [5.0, 12.0]))
    target = Target(text="", figure="ours", to="loop", bound=1.0, worst=True)
    assert noisy.verdict(target).value == pytest.approx(10 / 12)
    assert noisy.verdict(target).met is False


def test_the_table_says_of_every_target_how_it_stands() -> None:
    figures = ran(("workers/1", [100.0]), ("workers/4", [349.0]))
    said = table(figures)
    assert said.count("not measured") == len(TARGETS) - 1
    assert "3.49" in said
    assert "missed" in said


def test_a_missed_target_stands_out_in_the_page() -> None:
    missed = report.targets(ran(("workers/1", [100.0]), ("workers/4", [349.0])))
    met = report.targets(ran(("workers/1", [100.0]), ("workers/4", [351.0])))
    assert "| 3.49 |  | ≥ 3.5 | **missed** |" in missed
    assert "| 3.51 |  | ≥ 3.5 | met |" in met


def with_another(figures: Figures, name: str) -> Figures:
    """The same figures, of which one was measured otherwise: a row of the page needs its others too."""
    ran = {
        scenario: replace(
            each, figures=tuple(replace(f, samples=(54_321.0,)) if f.name == name else f for f in each.figures)
        )
        for scenario, each in figures.ran.items()
    }
    return Figures(ran=ran)


def test_every_figure_of_a_target_or_of_the_picture_is_in_the_page_and_so_is_what_was_measured() -> None:
    named = [name for target in TARGETS for name in (target.figure, target.to) if name]
    named += [figure for row in PANELS for panel in row for _, figure, _ in panel.bars]
    page = report.PAGE.read_text(encoding="utf-8")
    for name in dict.fromkeys(named):
        assert "54,321" in report.with_tables(page, ran((name, [54321.0]))), name
    measured = decode(RESULTS.read_text(encoding="utf-8"))
    for each in measured.each():
        assert re.search(r"54,?321", report.with_tables(page, with_another(measured, each.name))), each.name


def test_every_table_of_the_page_has_its_place() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert [name for name in report.TABLES if f"<!-- {name} -->" not in page] == []


def test_every_scenario_is_run_and_stops_what_it_started_when_it_is_ended() -> None:
    texts = {path.stem: path.read_text() for path in Path(report.__file__).parent.glob("*.py")}
    measuring = {name for name, text in texts.items() if re.search(r"^def run\(", text, re.MULTILINE)}
    by_the_main_of_all = {name for name, text in texts.items() if re.search(r"^ +main\(run\)$", text, re.MULTILINE)}
    assert measuring == by_the_main_of_all == set(SCENARIOS)


def test_every_target_names_a_figure_once_and_every_scenario_is_once() -> None:
    assert len({target.text for target in TARGETS}) == len(TARGETS)
    assert len(set(SCENARIOS)) == len(SCENARIOS)


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - of our own making


def test_the_picture_is_whole_and_says_what_was_not_measured() -> None:
    bars = sum(len(panel.bars) for row in PANELS for panel in row)
    nothing = draw(Figures())
    parsed(nothing)
    assert nothing.count("not measured") == bars
    some = draw(ran(("workers/1", [100.0, 120.0]), ("workers/2", [200.0]), ("workers/4", [350.0])))
    parsed(some)
    assert some.count("not measured") == bars - 3
    assert some.count('class="spread"') == 1


def test_a_bar_is_as_long_as_its_figure() -> None:
    root = parsed(draw(ran(("workers/1", [100.0]), ("workers/4", [400.0]))))
    bars = [each for each in root.iter() if each.tag.endswith("rect") and each.get("class") == "ours"]
    one, four = (float(each.get("width", "")) for each in bars)
    assert four == pytest.approx(4 * one, abs=0.5)


def test_figures_are_said_with_three_digits_that_count() -> None:
    assert [number(value) for value in (0.12345, 1.0, 87.654, 12345.6)] == ["0.123", "1", "87.7", "12,346"]
    assert spread((1.0,)) == ""
    assert spread((2.0, 1.0)) == "1 to 2"


def test_results_keep_no_more_digits_than_mean_something() -> None:
    assert json.loads(encode(ran(("a", [1 / 3]))))["growth"]["figures"][0]["samples"] == [0.333333]
