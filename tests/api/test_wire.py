"""The forms of the wire: dates, times, identifiers (API 1.4, 1.5)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.api import wire
from overair.api.wire import Day, Formats
from overair.config import Limits, Settings
from overair.core.errors import Refusal, RequestError

IMEI = "990013907835573"


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "2024-02-29T00:00:00Z",
        "2024-02-29t23:59:60.123456789z",
        "2024-02-29 16:03:00.000+05:30",
        "2024-02-29T23:00:00-11:00",
    ],
)
def test_dates(text: str) -> None:
    """A date is a date, or the date part of an RFC 3339 timestamp as it is written."""
    assert Day.parse(text) == Day(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2023-02-29", "2024-2-9", "20240229", "2024-02-29T", "2024-02-29T24:00:00Z"),
        *("2024-02-29T10:00", "2024-02-29T10:00:00", "2024-02-29\n", "٢٠٢٤-٠٢-٢٩", "0001-01-01"),
        *("9999-12-31", 20240229, None),
    ],
)
def test_what_is_no_date(text: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError):
        Day.parse(text)


@given(st.text())
def test_any_text_is_a_date_or_refused(text: str) -> None:
    """No text makes anything but a date or a ValueError."""
    with contextlib.suppress(ValueError):
        assert Day.parse(text).isoformat() == text[:10]


def test_account_names() -> None:
    """Ten digits, a dash, five digits; an installation may be more lenient, within one segment."""
    strict, lenient = Formats(), Formats.of(Settings(check_account_name=False))
    assert strict.account("0000123456-00001") == "0000123456-00001"
    assert lenient.account("0242080353-1") == "0242080353-1"
    for text in ("0242080353-1", "", "0000123456-00001\n", "٠" * 10 + "-00001", "a/b"):
        with pytest.raises(RequestError, match="Invalid account name format"):
            strict.account(text)
    for text in ("", "a/b", "a\0", "x" * 65):
        with pytest.raises(RequestError, match="Invalid account name format"):
            lenient.account(text)


def test_check_digits() -> None:
    """The check digit counts only where the installation says so."""
    strict = Formats.of(Settings(check_imei_digit=True))
    assert strict.imei("490154203237518") == "490154203237518"
    assert Formats().imei("490154203237517")
    for check in (lambda: strict.imei("490154203237517"), lambda: strict.imeis([IMEI, "1" * 15])):
        with pytest.raises(RequestError, match="Invalid device id format"):
            check()


@given(st.lists(st.text() | st.from_regex(r"[0-9]{15}", fullmatch=True), min_size=1))
def test_lists_are_checked_like_single_ids(texts: list[str]) -> None:
    """A list is accepted exactly if each of its elements is, and keeps each once in order."""
    formats = Formats()

    def accepted(text: str) -> bool:
        try:
            return formats.imei(text) == text
        except RequestError:
            return False

    if all(map(accepted, texts)):
        assert formats.imeis(texts) == list(dict.fromkeys(texts))
    else:
        with pytest.raises(RequestError, match="Invalid device id format"):
            formats.imeis(texts)


def test_length_of_lists() -> None:
    """An empty list and one over the limit are refused."""
    formats = Formats.of(Settings(limits=Limits(request_devices=2)))
    with pytest.raises(RequestError, match="Device list is empty"):
        formats.imeis([])
    with pytest.raises(RequestError, match="Device list exceeds 2 devices"):
        formats.imeis([IMEI] * 3)


def test_uuids_and_offsets() -> None:
    """Ids compare without case; offsets are plain numbers."""
    assert wire.uuid_text("60B5D639-CCDC-4DB8-8824-069BD94C95BF").islower()
    assert wire.index("01000") == 1000
    for text in (
        "",
        "x",
        "60b5d639ccdc4db88824069bd94c95bf",
        "{60b5d639-ccdc-4db8-8824-069bd94c95bf}",
    ):
        with pytest.raises(RequestError, match="Invalid uuid"):
            wire.uuid_text(text)
    for text in ("", "-1", "1.0", "x", "9" * 16, "١"):
        with pytest.raises(RequestError, match="Invalid index value"):
            wire.index(text)


def test_protocols() -> None:
    """All spellings of OMA-DM are one protocol, whatever their case."""
    assert {wire.protocol(text) for text in ("OMADM", "omd-dm", "OMA-DM", "oma")} == {"OMADM"}
    assert (wire.protocol("http"), wire.protocol("LWM2M")) == ("HTTP", "LWM2M")
    for refusal in (Refusal.PROTOCOL, Refusal.DISTRIBUTION_TYPE):
        with pytest.raises(RequestError) as caught:
            wire.protocol("FTP", refusal)
        assert caught.value.refusal is refusal
