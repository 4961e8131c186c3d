"""Signed links hold for one path until one instant."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.artifacts.links import sign, verify

KEY = b"k" * 32
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATH = "/acme/controller/v1/990000862471854/softwaremodules/7/artifacts/ä 1.swu"


def test_a_link_is_good_until_it_ends() -> None:
    """A link works before its instant and not from then on."""
    query = sign(PATH, NOW + timedelta(hours=1), KEY)
    assert verify(PATH, query, NOW, KEY)
    assert verify(PATH, f"c=1&{query}&x=", NOW + timedelta(minutes=59), KEY)
    assert not verify(PATH, query, NOW + timedelta(hours=1), KEY)


def test_a_link_is_good_for_its_path_and_key_only() -> None:
    """Another path or another installation's key does not do."""
    query = sign(PATH, NOW + timedelta(hours=1), KEY)
    assert not verify(PATH + "x", query, NOW, KEY)
    assert not verify(PATH, query, NOW, b"x" * 32)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "expires=1",
        "signature=x",
        "expires=x&signature=x",
        "expires=9999999999&signature=" + "A" * 43,
        "expires=9999999999&signature=\xe9",
        "expires=99999999999999999999&signature=" + "A" * 43,
        "&".join(["a=1"] * 50),
        "expires=%FF&signature=%00",
    ],
)
def test_what_is_no_signature(query: str) -> None:
    """Anything else in the query string is refused."""
    assert not verify(PATH, query, NOW, KEY)


def test_a_parameter_given_twice_is_refused() -> None:
    """There is no choosing between two instants."""
    query = sign(PATH, NOW + timedelta(hours=1), KEY)
    assert not verify(PATH, f"{query}&expires=9999999999", NOW, KEY)


@given(st.text(max_size=40), st.integers(0, 300), st.characters())
def test_a_changed_link_is_refused(path: str, at: int, character: str) -> None:
    """Changing any character of a link ends its validity."""
    query = sign(path, NOW + timedelta(hours=1), KEY)
    at %= len(query)
    changed = query[:at] + character + query[at + 1 :]
    assert verify(path, changed, NOW, KEY) == (changed == query)


@given(st.text(max_size=100))
def test_any_query_is_read(query: str) -> None:
    """Any text is refused without an error."""
    assert not verify(PATH, query, NOW, KEY)
