"""What may be registered as a listener, and when its messages are tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.listener import (
    MAX_URL,
    ListenerRules,
    acknowledges,
    is_credential,
    retry_after_s,
    url_problem,
)

STRICT = ListenerRules()
OPEN = ListenerRules(plain_http=True, private_addresses=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://listener.example/fota",
        "https://listener.example:8443/a%2Fb?token=x%41&y=[1]",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
        "https://example.com",
        "https://under_score.example/",
    ],
)
def test_ordinary_urls_are_taken(url: str) -> None:
    """An https URL of a public host is fine for every version."""
    assert [url_problem(url, version, STRICT) for version in (1, 2, 3)] == [None] * 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "listener.example/fota",
        "/fota",
        "//listener.example/",
        "ftp://listener.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@listener.example/",
        "https://user:secret@listener.example/",
        "https://listener.example:0/",
        "https://listener.example:65536/",
        "https://listener.example:port/",
        "https://listener.example:/",
        "https://listener.example/a b",
        "https://listener.example/\r\nHost: other",
        "https://listener.example/\x00",
        "https://listener.example\\@other/",
        "https://bücher.example/",
        "https://[::1",
        "https://[nonsense]/",
        "https://a..b/",
        "https://-a.example/",
        "https://%31.example/",
        "https://127.1/",
        "https://0x08080808/",
        "https://2130706433/",
        "https://010.0.0.1/",
        "https://8.8.8.8./",
        "https://listener.example/" + "x" * MAX_URL,
    ],
)
def test_other_texts_are_refused(url: str) -> None:
    """What is no absolute http URL of a plain host is refused, whatever the installation allows."""
    assert url_problem(url, 1, OPEN) is not None
    assert url_problem(url, 2, OPEN) is not None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "it needs 1 to 2048 characters"),
        ("https://a.example/a b", "it has characters that no URL has"),
        ("https://a.example/a\\b", "it has characters that no URL has"),
        ("https://[::1", "it is malformed"),
        ("ftp://a.example/", "it is no http or https URL"),
        ("http://a.example/", "it is not https"),
        ("https://user@a.example/", "it has a user name in it"),
        ("https://a..b/", "it has no valid host"),
        ("https://a.example:0/", "it has no valid port"),
        ("https://127.1/", "its host is an address in an odd form"),
        ("https://localhost/", "its host is a loopback address"),
        ("https://10.0.0.1/", "its host is a private address"),
    ],
)
def test_who_registers_is_told_why_not(url: str, why: str) -> None:
    """The reason is told in words that complete a sentence about the URL."""
    assert url_problem(url, 2, STRICT) == why


def test_long_urls_and_hosts_have_their_bounds() -> None:
    """A URL has at most 2048 characters, and a host 253, as DNS has it."""
    beginning = "https://a.example/"
    assert url_problem(beginning.ljust(2048, "x"), 2, STRICT) is None
    assert url_problem(beginning.ljust(2049, "x"), 2, STRICT) is not None
    host = ".".join(["h" * 49] * 5) + ".xyz"
    assert len(host) == 253
    assert url_problem(f"https://{host}/", 2, STRICT) is None
    assert url_problem(f"https://{host}z/", 2, STRICT) is not None


def test_hosts_are_names_in_any_case() -> None:
    """A host in capitals is the same host."""
    assert url_problem("https://Listener.EXAMPLE/", 2, STRICT) is None


def test_plain_http_is_for_v1() -> None:
    """v1 takes http; v2 and v3 only where the installation allows it."""
    url = "http://listener.example/"
    assert url_problem(url, 1, STRICT) is None
    assert url_problem(url, 2, STRICT) is not None
    assert url_problem(url, 3, STRICT) is not None
    assert url_problem(url, 2, ListenerRules(plain_http=True)) is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "10.0.0.8",
        "169.254.169.254",
        "localhost",
        "LOCALHOST.",
        "ip6-localhost",
        "ip6-loopback",
        "API.LOCALHOST.",
        "api.localhost",
    ],
)
def test_private_addresses_are_told_at_once(host: str) -> None:
    """An address in numbers that could never be called is refused at registration."""
    assert url_problem(f"https://{host}/", 2, STRICT) is not None
    assert url_problem(f"https://{host}/", 2, OPEN) is None


@given(st.text(max_size=80).map(lambda tail: "https://" + tail) | st.text(max_size=80))
def test_any_text_has_an_answer(url: str) -> None:
    """No text is too odd to be judged, and what is taken is a URL of plain characters."""
    if url_problem(url, 2, STRICT) is None:
        assert url.isascii()
        assert url.isprintable()
        assert "@" not in url.split("/")[2]


def test_credentials_are_short_and_printable() -> None:
    """A user name or password is text that fits on a line."""
    assert is_credential("")
    assert is_credential("pässword with spaces")
    assert not is_credential("line\nbreak")
    assert is_credential("x" * 256)
    assert not is_credential("x" * 257)


def test_a_message_is_tried_six_times() -> None:
    """The waits are those of the settings, and after the last there is none."""
    delays = (10, 60, 300, 1800, 7200)
    assert [retry_after_s(n, delays) for n in range(1, 8)] == [*delays, None, None]
    assert retry_after_s(1, ()) is None


@pytest.mark.parametrize(
    ("status", "yes"),
    [
        (199, False),
        (200, True),
        (204, True),
        (299, True),
        (300, False),
        (302, False),
        (404, False),
        (500, False),
        (None, False),
    ],
)
def test_any_2xx_acknowledges(status: int | None, yes: bool) -> None:
    """A message is taken by any 2xx and by nothing else."""
    assert acknowledges(status) is yes
