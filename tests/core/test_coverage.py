"""Coverage against the plainest model: the set of byte numbers that were sent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core import coverage
from overair.core.coverage import EMPTY, MAX_INTERVALS, Coverage, CoverageError

Interval = tuple[int, int]
intervals = st.tuples(st.integers(0, 80), st.integers(0, 20)).map(lambda p: (p[0], p[0] + p[1]))


def build(sent: list[Interval], limit: int = MAX_INTERVALS) -> Coverage:
    found = EMPTY
    for start, end in sent:
        found = coverage.add(found, start, end, limit=limit)
    return found


def numbers(intervals: Coverage | list[Interval]) -> set[int]:
    return {n for start, end in intervals for n in range(start, end)}


@given(st.lists(intervals, max_size=40))
def test_holds_exactly_what_was_sent(sent: list[Interval]) -> None:
    """Below the bound a coverage is the union of what was added."""
    found = build(sent)
    assert numbers(found) == numbers(sent)
    assert coverage.sent_bytes(found) == len(numbers(sent))


@given(st.lists(intervals, max_size=40), st.integers(1, 5))
def test_is_sorted_apart_and_bounded(sent: list[Interval], limit: int) -> None:
    """Intervals ascend, never touch, are never empty and never more than the limit."""
    found = build(sent, limit)
    assert len(found) <= limit
    assert all(start < end for start, end in found)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(st.lists(intervals, max_size=40), st.integers(1, 5))
def test_never_claims_more_than_was_sent(sent: list[Interval], limit: int) -> None:
    """The bound may make a coverage forget, but never makes it claim."""
    assert numbers(build(sent, limit)) <= numbers(sent)


@given(st.lists(intervals, max_size=20), st.randoms(use_true_random=False))
def test_order_does_not_matter(sent: list[Interval], dice: object) -> None:
    """Below the bound the same ranges in any order give the same coverage."""
    shuffled = list(sent)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands over a random.Random
    assert build(shuffled) == build(sent)


@given(st.lists(intervals, max_size=40), intervals)
def test_a_repeat_changes_nothing(sent: list[Interval], again: Interval) -> None:
    """Adding an interval a second time gives the same coverage."""
    once = coverage.add(build(sent), *again)
    assert coverage.add(once, *again) == once


@given(st.lists(intervals, max_size=20), st.integers(0, 110))
def test_covers_a_file_when_every_byte_was_sent(sent: list[Interval], size: int) -> None:
    """A file is covered if and only if each of its bytes was sent."""
    assert coverage.covers(build(sent), size) == (set(range(size)) <= numbers(sent))


@given(st.lists(intervals, max_size=60))
def test_survives_its_text(sent: list[Interval]) -> None:
    """What is written is read back."""
    found = build(sent)
    assert coverage.decode(coverage.encode(found)) == found


@given(st.one_of(st.text(max_size=60), st.text("0123456789+ ", max_size=60)))
def test_any_text_reads_or_is_refused(text: str) -> None:
    """Text is either exactly the text of a coverage or refused with the module's own error."""
    try:
        found = coverage.decode(text)
    except CoverageError:
        return
    assert coverage.encode(found) == text


def test_a_hostile_reader_does_not_grow_the_row() -> None:
    """Ten thousand odd single bytes leave a row of bounded size."""
    found = EMPTY
    for n in range(0, 20_000, 2):
        found = coverage.add(found, 10**10 + n, 10**10 + n + 1)
    assert len(found) == MAX_INTERVALS
    assert len(coverage.encode(found)) < 3 * 1024


def test_a_large_interval_outlives_small_ones() -> None:
    """Single bytes cannot push out the part of the file that matters."""
    found = coverage.add(EMPTY, 0, 1_000_000)
    for n in range(2_000_000, 2_001_000, 2):
        found = coverage.add(found, n, n + 1)
    found = coverage.add(found, 1_000_000, 1_500_000)
    assert coverage.covers(found, 1_500_000)


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4)])
def test_refuses_what_is_no_interval(start: int, end: int) -> None:
    """A negative or reversed interval is an error of ours."""
    with pytest.raises(ValueError, match="not an interval"):
        coverage.add(EMPTY, start, end)


@pytest.mark.parametrize(
    "text",
    ["0+5 5+1", "7+1 0+1", "0+0", "01+1", " ", "0+1 ", "-1+2", "1", "0+" + "9" * 30],
)
def test_refuses_texts_that_it_does_not_write(text: str) -> None:
    """Touching, unordered, empty or oddly written intervals are refused."""
    with pytest.raises(CoverageError):
        coverage.decode(text)


def test_refuses_too_many_intervals() -> None:
    """The bound holds for what is read back, too."""
    text = " ".join(f"{2 * n}+1" for n in range(MAX_INTERVALS + 1))
    with pytest.raises(CoverageError, match="more than"):
        coverage.decode(text)
    full = text.rpartition(" ")[0]
    assert len(coverage.decode(full)) == MAX_INTERVALS == 128


def test_only_the_shortest_is_forgotten() -> None:
    """Past the bound one interval goes, wherever it is, and all others stay."""
    for shortest in range(4):
        sent = [(10 * n, 10 * n + (1 if n == shortest else 5)) for n in range(4)]
        kept = tuple(interval for n, interval in enumerate(sent) if n != shortest)
        assert build(sent, limit=3) == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0+5 x", "not an interval: 'x'"),
        ("y" * 1000, f"not an interval: '{'y' * 50}'"),
        ("0+5 5+1", "intervals out of order or touching at 5"),
    ],
)
def test_a_row_that_does_not_read_says_why(text: str, why: str) -> None:
    """The error names what does not read, and not more of it than fits on a line."""
    with pytest.raises(CoverageError) as error:
        coverage.decode(text)
    assert str(error.value) == why
