"""A chain of entries: every change of its bytes is found, and what it says follows from playing it back."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorp.errors import IntegrityError
from lorp.ledger import Act, Change, Entry, next_entry, read_chain, standing


def change(act: Act, version: int | None, alias: str | None = None, lineage: str = "e") -> Change:
    return Change(
        act=act, version=version, variant="a" * 64, verdict="d" * 64, lineage=lineage * 64, alias=alias,
        flow_run="r", time="2026-11-25T00:00:00+00:00",
    )  # fmt: skip


def chain(*changes: Change) -> tuple[Entry, ...]:
    entries: tuple[Entry, ...] = ()
    for entry in changes:
        entries = (*entries, next_entry("m", entries, entry))
    return entries


def promoted(version: int) -> Change:
    return change("promoted", version, "production")


def rolled_back(version: int) -> Change:
    return change("rolled-back", version, "production")


ENTRIES = chain(change("registered", 1), promoted(1), change("registered", 2), promoted(2), rolled_back(1))
STORED = {entry.sequence: entry.data for entry in ENTRIES}


def test_a_chain_is_read_back() -> None:
    assert read_chain("m", STORED) == ENTRIES
    assert read_chain("m", {}) == ()


@settings(max_examples=300, deadline=None)
@given(sequence=st.integers(1, len(ENTRIES)), place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_changed_byte_is_found_also_in_the_last_entry(sequence: int, place: int, flip: int) -> None:
    data = bytearray(STORED[sequence])
    data[place % len(data)] ^= flip
    with pytest.raises(IntegrityError, match=rf"entry {sequence} "):
        read_chain("m", STORED | {sequence: bytes(data)})


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_a_missing_entry_is_named(sequence: int) -> None:
    left = {place: data for place, data in STORED.items() if place != sequence}
    with pytest.raises(IntegrityError, match=f"entry {sequence} of the ledger of m is missing"):
        read_chain("m", left)


def test_entries_that_changed_places_are_found() -> None:
    with pytest.raises(IntegrityError, match="entry 2 of the ledger of m is not the one that belongs there"):
        read_chain("m", STORED | {2: STORED[3], 3: STORED[2]})


def test_another_names_ledger_is_refused() -> None:
    with pytest.raises(IntegrityError, match="entry 1 of the ledger of n"):
        read_chain("n", STORED)


def test_an_entry_that_was_written_anew_breaks_the_next() -> None:
    forged = replace(ENTRIES[1], change=promoted(7))
    with pytest.raises(IntegrityError, match="entry 3 of the ledger of m"):
        read_chain("m", STORED | {2: forged.data})


def test_rolling_back_goes_further_back_each_time() -> None:
    three = (promoted(1), promoted(2), promoted(3))
    assert standing(chain(*three)).now("production") == 3
    once = standing(chain(*three, rolled_back(2)))
    assert (once.now("production"), once.before("production")) == (2, 1)
    twice = standing(chain(*three, rolled_back(2), rolled_back(1)))
    assert (twice.now("production"), twice.before("production")) == (1, None)


def test_rolling_back_to_a_named_version_drops_those_above_it() -> None:
    found = standing(chain(promoted(1), promoted(2), promoted(3), rolled_back(1), promoted(4)))
    assert found.held["production"] == (1, 4)


def test_promoting_again_what_is_there_adds_nothing_to_go_back_through() -> None:
    assert standing(chain(promoted(1), promoted(2), promoted(2))).held["production"] == (1, 2)


def test_a_version_that_came_back_by_promotion_is_rolled_back_to_where_it_was_last() -> None:
    found = standing(chain(promoted(1), promoted(2), promoted(1), promoted(3), rolled_back(1)))
    assert found.held["production"] == (1, 2, 1)


def test_aliases_are_apart_and_registrations_are_kept() -> None:
    found = standing(chain(change("registered", 1), change("promoted", 1, "staging"), promoted(1)))
    assert (found.now("staging"), found.now("production"), found.now("canary")) == (1, 1, None)
    assert list(found.versions) == [1]


def test_rejections_are_kept_and_change_nothing_else() -> None:
    one, other = change("rejected", None), change("rejected", None, lineage="f")
    found = standing(chain(one, change("registered", 1), other, promoted(1)))
    assert found.rejections == {one.lineage: one, other.lineage: other}
    assert (list(found.versions), found.held) == ([1], {"production": (1,)})
