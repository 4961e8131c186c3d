"""Download descriptors and status reports, against what the specification says of them (oma-dm 13)."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.dlota import (
    MOST_BYTES,
    NAMESPACE,
    Descriptor,
    DlotaError,
    InstallStatus,
    encode_descriptor,
    read_install_status,
)

PLAIN = Descriptor(size_bytes=1000, object_url="http://fota.example/dm/package/abc")
WHOLE = replace(
    PLAIN,
    name="X1",
    version="2.0",
    vendor="Acme",
    description="All new.",
    install_notify_url="http://fota.example/dm/notify/abc",
    install_param="priorityflag=critical",
)


def members(document: bytes) -> list[tuple[str, str]]:
    """Elements and texts, read by somebody else's parser."""
    root = ET.fromstring(document)
    assert root.tag == f"{{{NAMESPACE}}}media"
    found = []
    for child in root:
        assert len(child) == 0
        found.append((child.tag.removeprefix(f"{{{NAMESPACE}}}"), child.text or ""))
    return found


def test_what_is_mandatory_comes_first() -> None:
    """Type, size and address are there whatever else is, and nothing that was not said."""
    assert members(encode_descriptor(PLAIN)) == [
        ("type", "application/octet-stream"),
        ("size", "1000"),
        ("objectURI", PLAIN.object_url),
        ("DDVersion", "1.0"),
    ]


def test_elements_stand_in_the_order_of_the_specification() -> None:
    """The order does not depend on what is there."""
    assert [name for name, _ in members(encode_descriptor(WHOLE))] == [
        "type", "size", "objectURI", "DDVersion", "name", "version", "vendor", "description",
        "installNotifyURI", "installParam",
    ]  # fmt: skip


def test_no_prefix_and_a_declaration() -> None:
    """Small parsers look for the plain names."""
    document = encode_descriptor(PLAIN)
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<media xmlns="')
    assert b"<objectURI>" in document


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_escaped(name: str, description: str) -> None:
    """Whatever a catalogue holds, the document stays one, and says it as far as XML can."""
    said = dict(members(encode_descriptor(replace(WHOLE, name=name, description=description))))
    plain = "".join(c for c in name if c.isprintable())
    assert plain == "".join(c for c in said.get("name", "") if c.isprintable())


def test_size_has_a_limit() -> None:
    """Clients have buffers: a longer document is our mistake, and is said so."""
    with pytest.raises(DlotaError, match="bytes"):
        encode_descriptor(replace(WHOLE, description="x" * MOST_BYTES))
    assert len(encode_descriptor(replace(WHOLE, description="&" * 3000))) <= MOST_BYTES


@pytest.mark.parametrize(
    "url",
    ["/dm/package/a", "ftp://fota.example/a", "http://", "http://h/a b", "http://h/ä", "http://[", "",
     "http://h/" + "a" * 247],
)  # fmt: skip
def test_addresses_that_devices_cannot_use(url: str) -> None:
    """They are absolute, of HTTP, printable ASCII, and have at most 255 characters."""
    with pytest.raises(DlotaError):
        encode_descriptor(replace(PLAIN, object_url=url))
    if url:
        with pytest.raises(DlotaError):
            encode_descriptor(replace(PLAIN, install_notify_url=url))


def test_the_longest_address() -> None:
    """255 characters pass."""
    url = "http://h/" + "a" * 246
    assert dict(members(encode_descriptor(replace(PLAIN, object_url=url))))["objectURI"] == url


@pytest.mark.parametrize("kind", ["", "octets", "a/b c", "a/b;c", "a/b\r\n"])
def test_types_that_are_none(kind: str) -> None:
    """A media type is one, without parameters."""
    with pytest.raises(DlotaError):
        encode_descriptor(replace(PLAIN, type=kind))


def test_negative_sizes() -> None:
    """A size is not negative."""
    with pytest.raises(DlotaError):
        encode_descriptor(replace(PLAIN, size_bytes=-1))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"900 Success", 900),
        (b"900", 900),
        (b"\r\n 953 Non-Acceptable Content\r\n", 953),
        (b"901\n\rInsufficient memory\n\r", 901),
        (b"9000", None),
        (b"90", None),
        (b"Success 900", None),
        (b"", None),
        (b"\xff\xfe900", None),
        (b" " * 1000 + b"900", None),
    ],
)
def test_status_reports(body: bytes, code: int | None) -> None:
    """The first three digits are the code, whatever text follows."""
    assert read_install_status(body) == code


@given(st.binary(max_size=200))
def test_any_body_has_a_code_or_none(body: bytes) -> None:
    """A body that a stranger sends raises nothing."""
    code = read_install_status(body)
    assert code is None or 0 <= code <= 999


def test_codes_have_words() -> None:
    """Each code is said in words, and those about what we serve are for the operator."""
    assert InstallStatus(903).meaning == "loss of service"
    assert {status.value for status in InstallStatus if status.is_ours} == {905, 906, 951}
