"""The table of event ids: what a dictionary would say, whatever the order of the ids."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ledger import event_ids
from shared.ledger.event_ids import LONGEST_RUN, EventIds


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


class Dictionary:
    """All ids in memory."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, bytes]] = {}

    def clash(self, event_id: str, leaf: int, hash_: bytes) -> int | None:
        first, held = self.held.setdefault(event_id, (leaf, hash_))
        return None if held == hash_ else first


INTENTS = st.sampled_from(["a", "b", "a/0", "", "a/", "\ud800"])
ORDINALS = st.one_of(
    st.integers(0, 12).map(str), st.sampled_from(["", "-1", "00", "01", "x", "9" * 18, "1" + "0" * 18, "٣", "1e1"])
)
IDS = st.one_of(st.builds("{}/{}".format, INTENTS, ORDINALS), INTENTS, ORDINALS)
RUNS = st.builds(
    lambda intent, first, count: [f"{intent}/{n}" for n in range(first, first + count)],
    INTENTS, st.integers(0, 12), st.integers(1, 8),
)  # fmt: skip


@pytest.mark.parametrize("longest", [1, 3, LONGEST_RUN])
@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.one_of(RUNS, st.lists(IDS, min_size=1, max_size=3)), st.integers(0, 1), st.integers(0, 2)),
        max_size=14,
    ),
    together=st.booleans(),
)
def test_ids_in_any_order_are_told_apart_as_by_a_dictionary(longest, steps, together):
    table, model, leaf = EventIds(longest_run=longest), Dictionary(), 0
    try:
        for ids, content, gap in steps:
            leaf += gap  # leaves between that hold no sound event
            hashes = [digest(f"{each!a} {content}") for each in ids]
            at = table.follow(ids, leaf, hashes, start=0) if together else 0
            assert [model.clash(each, leaf + n, hashes[n]) for n, each in enumerate(ids[:at])] == [None] * at
            leaf += at
            for each, hash_ in zip(ids[at:], hashes[at:], strict=True):
                assert table.clash(each, leaf, hash_) == model.clash(each, leaf, hash_)
                leaf += 1
        assert table.count == len(model.held)
    finally:
        table.close()


def test_a_log_of_many_journals_is_a_row_for_each():
    table = EventIds()
    for intent in range(20):
        for ordinal in range(100):
            assert (
                table.clash(f"{intent:032x}/{ordinal}", 100 * intent + ordinal, digest(f"{intent}/{ordinal}")) is None
            )
    rows = table._table.execute("SELECT count(*) FROM runs").fetchone()[0]
    assert (table.count, rows) == (2_000, 19)  # the last is still being added to
    assert table.clash(f"{3:032x}/50", 9_999, digest("another")) == 350
    assert table.clash(f"{3:032x}/50", 9_999, digest("3/50")) is None
    assert table.count == 2_000
    table.close()


def test_the_hashes_of_an_endless_journal_are_not_all_held_in_memory():
    table = EventIds()
    for ordinal in range(3 * event_ids.LONGEST_RUN + 1):
        table.clash(f"x/{ordinal}", ordinal, digest("x"))
        assert len(table._hashes) <= event_ids.LONGEST_RUN
    assert table.clash("x/0", 99_999, digest("y")) == 0
    assert table.clash(f"x/{2 * event_ids.LONGEST_RUN}", 99_999, digest("y")) == 2 * event_ids.LONGEST_RUN
    table.close()
