"""XML: what is accepted, what is refused, and how it is written (oma-dm 15, 19)."""

import pytest

from overair.protocols.syncml.as_xml import XmlSink, decode_xml
from overair.protocols.syncml.codec import MediaType, decode
from overair.protocols.syncml.values import (
    LIMITS,
    LimitError,
    MalformedError,
    SyncmlLimits,
    UnencodableError,
)
from tests.protocols.syncml.vectors import xml

PUBLIC = b'"-//SYNCML//DTD SyncML 1.2//EN"'


def written(value: str | bytes) -> bytes:
    """Return a document of an Item with this Data."""
    out = XmlSink()
    mark = out.open("Item")
    out.data(value, stored=False)
    out.close("Item", mark)
    return out.body()


@pytest.mark.parametrize(
    "prolog",
    [
        b'<?xml version="1.0"?>',
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8" standalone="no"?>\r\n<!-- a comment -->',
        b'<?xml version="1.0" encoding="ISO-8859-1"?>',
        b"<?a processing instruction?>",
        b"<!DOCTYPE SyncML>",
        b"<!DOCTYPE SyncML PUBLIC " + PUBLIC + b' "http://example.org/x.dtd">',
        b'<!DOCTYPE SyncML PUBLIC "-//SYNCML//DTD SyncML 1.1//EN" "http://example.org/x.dtd">',
    ],
)
def test_prologs_of_real_clients(prolog: bytes) -> None:
    """A declaration, a bare DOCTYPE and the public one change nothing."""
    assert decode(prolog + xml("m1"), MediaType.XML) == decode(xml("m1"), MediaType.XML)


@pytest.mark.parametrize(
    "prolog",
    [
        b'<!DOCTYPE SyncML [<!ENTITY a "b">]>',
        b"<!DOCTYPE SyncML []>",
        b"<!DOCTYPE SyncML [<!ELEMENT SyncML ANY>]>",
        b'<!DOCTYPE SyncML [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>',
        b'<!DOCTYPE SyncML SYSTEM "file:///etc/passwd">',
        b'<!DOCTYPE SyncML PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">',
        b"<!DOCTYPE SyncML PUBLIC " + PUBLIC + b' "x" [<!ENTITY a "b">]>',
    ],
)
def test_documents_that_declare_something(prolog: bytes) -> None:
    """Entities, declarations and other document types are refused."""
    with pytest.raises(MalformedError):
        decode_xml(prolog + xml("m1"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_other_than_utf_8(encoding: str) -> None:
    """UTF-16 is refused, with a byte order mark and without."""
    with pytest.raises(MalformedError):
        decode_xml(xml("m1").decode().encode(encoding))


@pytest.mark.parametrize("doctype", [b"", b"<!DOCTYPE SyncML PUBLIC " + PUBLIC + b' "x">'])
def test_entities_that_are_not_xml_s_own(doctype: bytes) -> None:
    """A reference to an entity is refused, whether a document type could declare it or not."""
    with pytest.raises(MalformedError):
        decode_xml(doctype + b"<SyncML>&a;</SyncML>")


def test_xml_s_own_entities_are_read() -> None:
    """The five entities and numeric references stand for their characters."""
    root = decode_xml(b"<a>&lt;&amp;&gt;&quot;&apos;&#x41;<![CDATA[<b>]]></a>")
    assert root == ("a", "<&>\"'A<b>")


@pytest.mark.parametrize("namespace", [b"SYNCML:SYNCML1.1", b"", b"anything"])
def test_namespaces_do_not_matter(namespace: bytes) -> None:
    """Another namespace, none, and prefixes are read as SyncML 1.2 is."""
    expected = decode(xml("m2"), MediaType.XML)
    other = xml("m2").replace(b"SYNCML:SYNCML1.2", namespace)
    bare = (
        xml("m2").replace(b' xmlns="SYNCML:SYNCML1.2"', b"").replace(b' xmlns="syncml:metinf"', b"")
    )
    prefixed = (
        xml("m2")
        .replace(b"<Format xmlns=", b"<m:Format xmlns:m=")
        .replace(b"</Format>", b"</m:Format>")
    )
    for body in (other, bare, prefixed):
        assert decode(body, MediaType.XML) == expected


def test_layout_does_not_matter() -> None:
    """A document with line breaks and indents is the same message."""
    indented = xml("m2").replace(b"><", b">\r\n\t <").replace(b"<CmdID>", b"<CmdID>\n  ")
    assert decode(indented, MediaType.XML) == decode(xml("m2"), MediaType.XML)


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"x", b"<a>", b"<a></b>", b"<a/><a/>", b"<a>\x00</a>", b"<a>\xff</a>", b"\x02\xa4"],
)
def test_what_is_no_xml(body: bytes) -> None:
    """Anything but one whole document in UTF-8 is refused."""
    with pytest.raises(MalformedError):
        decode_xml(body)


def test_limits() -> None:
    """Depth, elements, text, single values and the body each have their bound, and reach up to it."""
    limits = SyncmlLimits(body_bytes=60, depth=3, elements=4, text=20, value=10)
    for good in (b"<a><b><c/></b></a>", b"<a><b/><b/><b/></a>", b"<a>0123456789</a>"):
        decode_xml(good, limits)
    for bad in (
        b"<a><b><c><d/></c></b></a>",
        b"<a><b/><b/><b/><b/></a>",
        b"<a>01234567890</a>",
        b"<a><b>0123456789</b><b>0123456789</b><b>0</b></a>",
        b"<a>" + b" " * 60 + b"</a>",
    ):
        with pytest.raises(LimitError):
            decode_xml(bad, limits)


def test_a_body_as_large_as_the_limit() -> None:
    """64 KiB are read, one byte more is not."""
    body = b"<a>".ljust(LIMITS.body_bytes - 4) + b"</a>"
    decode_xml(body)
    with pytest.raises(LimitError):
        decode_xml(body + b" ")


def test_text_is_escaped() -> None:
    """What XML would read otherwise is written as a reference."""
    body = written("<&>]]>\"'\r\n")
    assert b"<Data>&lt;&amp;&gt;]]&gt;\"'&#13;\n</Data>" in body
    assert decode_xml(body) == ("Item", [("Data", "<&>]]>\"'\r\n")])


def test_namespaces_are_written_as_the_specification_has_them() -> None:
    """The root names SyncML's namespace, and each element of MetInf its own."""
    out = XmlSink()
    mark = out.open("SyncML")
    out.meta((("Type", "x"),))
    out.close("SyncML", mark)
    assert out.body() == (
        b'<SyncML xmlns="SYNCML:SYNCML1.2"><Meta><Type xmlns="syncml:metinf">x</Type></Meta></SyncML>'
    )


@pytest.mark.parametrize("value", ["\x00", "a\x1b", "\ud800", "\ufffe", b"bytes"])
def test_what_xml_cannot_hold(value: str | bytes) -> None:
    """Control characters, half characters and raw bytes cannot be written."""
    with pytest.raises(UnencodableError):
        written(value)
