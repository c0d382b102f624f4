"""The name layout: what it reads, what it refuses, and that its pruning bounds never lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.layout import Layout, Token

SNAPSHOTS = Layout.parse("{captured:%Y-%m-%d}/{captured:%H}/{home_id}/{camera_id}/{name}")
BACKUPS = Layout.parse("{taken:%Y-%m-%dT%H%M%SZ}/{name}")
LAYOUTS = [
    SNAPSHOTS,
    BACKUPS,
    Layout.parse("{t:%d}/{t:%m}/{t:%Y}/{name}"),
    Layout.parse("{home}/y{t:%Y}/{t:%m}/{t:%d}T{t:%H}-{name}.jpg"),
    Layout.parse("a b%20/{t:%Y%m%d}/{t:%Y}/{u:%Y}-{x}"),
    Layout.parse("{home_id}/{name}"),
]

moments = st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=0))
segments = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=12)


def written(layout: Layout, times: dict[str, datetime], fields: dict[str, str]) -> str:
    """Write a name by the layout, independently of the reading code."""
    widths = {"Y": 4}

    def piece(token: object) -> str:
        if token.unit:
            attribute = {"Y": "year", "m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second"}[token.unit]
            return str(getattr(times[token.field], attribute)).zfill(widths.get(token.unit, 2))
        return fields[token.field] if token.field else token.text

    return "/".join("".join(piece(token) for token in level.tokens) for level in layout.levels)


def test_a_name_gives_its_fields_and_the_start_of_its_smallest_unit() -> None:
    parts = SNAPSHOTS.match("2025-03-01/07/home-1/cam 2/100% å.jpg")
    assert parts is not None
    assert parts.fields == {"home_id": "home-1", "camera_id": "cam 2", "name": "100% å.jpg"}
    assert parts.times == {"captured": datetime(2025, 3, 1, 7, tzinfo=UTC)}
    assert SNAPSHOTS.times == {"captured": "H"}
    assert SNAPSHOTS.fields == ("home_id", "camera_id", "name")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "2025-03-01/07/home/cam",
        "2025-03-01/07/home/cam/a/b",
        "2025-03-01/07//cam/a",
        "2025-02-29/07/home/cam/a",
        "2025-13-01/07/home/cam/a",
        "2025-03-01/24/home/cam/a",
        "2025-3-1/07/home/cam/a",
        "0000-03-01/07/home/cam/a",
        "\uff12\uff10\uff12\uff15-03-01/07/home/cam/a",
        "2025-03-01\n/07/home/cam/a",
        " 2025-03-01/07/home/cam/a",
    ],
)
def test_a_name_outside_the_layout_is_not_read(name: str) -> None:
    assert SNAPSHOTS.match(name) is None


def test_parts_of_a_time_that_contradict_each_other_are_not_read() -> None:
    layout = Layout.parse("{t:%Y}/{t:%Y-%m}/{name}")
    assert layout.match("2025/2025-03/a") is not None
    assert layout.match("2024/2025-03/a") is None


def test_plain_characters_stand_for_themselves() -> None:
    layout = Layout.parse("50%/a.b*/{t:%Y}(å)/{name}")
    assert layout.match("50%/a.b*/2025(å)/x") is not None
    assert layout.match("50%/axb*/2025(å)/x") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty level"),
        ("/a/{name}", "empty level"),
        ("a//{name}", "empty level"),
        ("{name}/", "empty level"),
        ("{home_id}-{name}", "cannot be told apart"),
        ("{a}{b}", "cannot be told apart"),
        ("{a}/{a}", "used twice"),
        ("{a}/{a:%Y}", "used twice"),
        ("{a", "braces hold"),
        ("a}", "braces hold"),
        ("{}", "braces hold"),
        ("{a b}", "braces hold"),
        ("{t:%Y/%m}", "crosses a level"),
        ("{t:%Y-%d}", "%d without %m"),
        ("{t:%H}", "%H without %d"),
        ("{t:%B}", "uses %B"),
        ("{t:%Y%}", "uses %;"),
        ("{t:}", "no directive"),
        ("{t:day}", "no directive"),
    ],
)
def test_a_layout_that_cannot_be_read_in_one_way_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Layout.parse(text)


@given(st.text(st.sampled_from("{}:%YmdHMS/abc_-1 å\n"), max_size=30))
def test_parsing_a_layout_raises_nothing_but_value_error(text: str) -> None:
    try:
        layout = Layout.parse(text)
    except ValueError:
        return
    assert str(layout) == text
    assert len(layout.levels) == text.count("/") + 1


@given(st.sampled_from(LAYOUTS), st.text(st.sampled_from("0123456789-/TZ.yaå%\n"), max_size=40))
@example(SNAPSHOTS, "9999-12-31/23/h/c/n")
def test_matching_never_raises_and_what_is_read_can_be_written_again(layout: Layout, name: str) -> None:
    parts = layout.match(name)
    if parts is not None:
        assert written(layout, dict(parts.times), dict(parts.fields)) == name


@given(st.sampled_from(LAYOUTS), moments, moments, st.lists(segments, min_size=3, max_size=3))
@example(SNAPSHOTS, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), ["a", "b", "c"])
def test_every_prefix_of_a_written_name_bounds_its_time_and_knows_its_fields(
    layout: Layout, one: datetime, other: datetime, values: list[str]
) -> None:
    times = dict(zip(layout.times, (one, other), strict=False))
    fields = dict(zip(layout.fields, values, strict=False))
    name = written(layout, times, fields)
    parts = layout.match(name)
    assert parts is not None
    assert parts.fields == fields
    for depth in range(len(layout.levels) + 1):
        below = layout.below(name.split("/")[:depth])
        assert below is not None
        assert below.fields.items() <= fields.items()
        for time, (earliest, latest) in below.times.items():
            assert earliest <= parts.times[time] <= latest
            assert earliest <= times[time] <= latest or depth == 0
            assert layout.interval(name.split("/")[:depth], time) == (earliest, latest)


@pytest.mark.parametrize(
    ("segments", "earliest", "latest"),
    [
        ([], datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (["2024"], datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        (["2024", "02"], datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (["2024", "12"], datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        (["2024", "02", "29"], datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (["2024", "02", "29", "23"], datetime(2024, 2, 29, 23, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_the_interval_of_a_prefix_is_as_tight_as_its_known_units(
    segments: list[str], earliest: datetime, latest: datetime
) -> None:
    layout = Layout.parse("{t:%Y}/{t:%m}/{t:%d}/{t:%H}/{name}")
    end = latest if latest.year == 9999 else latest - timedelta(microseconds=1)
    assert layout.interval(segments, "t") == (earliest, end)


def near(layout: Layout) -> st.SearchStrategy[str]:
    """Names of the layout, and names that just miss it: a wrong month, a unit said twice and otherwise, a level more."""
    pieces = [
        st.sampled_from(
            ["2024", "2025", "0000", "9999"] if token.unit == "Y" else ["01", "02", "03", "12", "24", "29", "60"]
        )
        if token.unit
        else st.sampled_from(["a", "b\n", "å-b", "ab", "", "a/b"])
        if token.field
        else st.sampled_from([token.text] * 9 + [f"{token.text}x"])
        for level in layout.levels
        for token in (*level.tokens, Token(text="/"))
    ]
    return st.tuples(*pieces[:-1]).map("".join)


@given(st.data(), st.sampled_from(LAYOUTS))
def test_a_full_name_says_what_all_its_levels_say_one_by_one(data: st.DataObject, layout: Layout) -> None:
    name = data.draw(near(layout))
    parts, below = layout.match(name), layout.below(name.split("/"))
    if below is None or name.count("/") != len(layout.levels) - 1:
        assert parts is None
    else:
        assert parts is not None
        assert dict(parts.fields) == dict(below.fields)
        assert dict(parts.times) == {field: earliest for field, (earliest, _) in below.times.items()}


def test_a_prefix_without_names_of_the_layout_is_told() -> None:
    assert SNAPSHOTS.below(["lost+found"]) is None
    assert SNAPSHOTS.below(["2025-02-30"]) is None
    assert SNAPSHOTS.below(["2025-03-01", "07", "h", "c", "n", "more"]) is None
    assert SNAPSHOTS.interval(["2025-02-30"], "captured") is None


def test_units_known_out_of_order_bound_nothing_until_the_year_is_known() -> None:
    layout = Layout.parse("{t:%d}/{t:%m}/{t:%Y}/{name}")
    assert layout.interval(["31"], "t") == layout.interval([], "t")
    assert layout.below(["30", "02", "2024"]) is None
