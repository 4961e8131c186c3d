"""Lists of resources, as devices write them (lwm2m 3, 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.errors import MalformedError, RefusedError, UnencodableError
from overair.protocols.coap.links import Link, decode_links, encode_links
from overair.protocols.coap.numbers import Code


def test_links_as_devices_write_them() -> None:
    """Quotes or none, spaces after commas, attributes without value, unknown ones."""
    payload = b'</>;rt="oma.lwm2m";ct="60 110", </1/1>,\r\n</5>;ver=1.1;x , </3/0>;ver="1.1";ver=2'
    assert decode_links(payload) == (
        Link(path="/", attributes={"rt": "oma.lwm2m", "ct": "60 110"}),
        Link(path="/1/1"),
        Link(path="/5", attributes={"ver": "1.1", "x": None}),
        Link(path="/3/0", attributes={"ver": "1.1"}),
    )


def test_quotes_hold_separators() -> None:
    """Commas, semicolons and escaped quotes in a value do not end it."""
    assert decode_links(rb'</a>;t="x,y;\"<z>\\"') == (
        Link(path="/a", attributes={"t": r'x,y;"<z>\ '.strip()}),
    )


def test_an_empty_list() -> None:
    """Nothing is a list of nothing; a comma too many is no link."""
    assert decode_links(b"") == ()
    assert decode_links(b" ") == ()
    assert decode_links(b"</1/0>,") == (Link(path="/1/0"),)


@pytest.mark.parametrize(
    "payload",
    [
        b"hello",
        b"</1/0",
        b"</1/0>x",
        b"</1/0></2/0>",
        b'</1/0>;a="b',
        b",</1/0>",
        b"\xff",
        b"</1/0>;=1",
    ],
)
def test_what_is_no_list(payload: bytes) -> None:
    """What leaves open where a link ends is refused."""
    with pytest.raises(MalformedError):
        decode_links(payload)


@pytest.mark.parametrize("payload", [b"<" + b"/" * 8200 + b">", b"<>," * 1001])
def test_lists_that_are_too_long(payload: bytes) -> None:
    """More than 8 KiB or 1000 links are 4.13."""
    with pytest.raises(RefusedError) as error:
        decode_links(payload)
    assert error.value.code == Code.REQUEST_ENTITY_TOO_LARGE


NAMES = st.text("abcdefghij*", min_size=1, max_size=5)
TEXTS = st.text(max_size=10).filter(lambda text: text.isprintable())
LINKS = st.builds(
    Link,
    path=st.text('abc/0123456789;," ', max_size=10),
    attributes=st.dictionaries(NAMES, st.none() | TEXTS, max_size=3),
)


@given(st.lists(LINKS, max_size=5).map(tuple))
def test_any_list_survives(links: tuple[Link, ...]) -> None:
    """Whatever is written is read as the same."""
    assert decode_links(encode_links(links)) == links


def test_what_cannot_be_written() -> None:
    """Targets with brackets, and names that are none, are our mistake."""
    for link in (Link(path="<"), Link(path="/", attributes={"a b": None})):
        with pytest.raises(UnencodableError):
            encode_links([link])
