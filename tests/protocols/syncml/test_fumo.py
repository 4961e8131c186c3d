"""The vocabulary: nodes, alert types, result codes, statuses (oma-dm 7, 14)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.syncml.codes import AlertCode, Format, StatusCode, is_success
from overair.protocols.syncml.fumo import (
    PARENTS,
    REVERSED_DOMAIN_NAME,
    ROOTS,
    AlertType,
    Failure,
    Fumo,
    Outcome,
    Result,
    State,
    alert_type,
    failure,
    outcome,
    result_code,
)


def test_nodes_stand_below_their_root() -> None:
    """Every node of the object is below the root that a maker has put it at."""
    fumo = Fumo("./FwUpdate/pkg")
    assert [
        fumo.state,
        fumo.pkg_name,
        fumo.pkg_version,
        fumo.download,
        fumo.download_url,
        fumo.update,
        fumo.update_data,
        fumo.download_and_update,
        fumo.download_and_update_url,
    ] == [
        "./FwUpdate/pkg/State",
        "./FwUpdate/pkg/PkgName",
        "./FwUpdate/pkg/PkgVersion",
        "./FwUpdate/pkg/Download",
        "./FwUpdate/pkg/Download/PkgURL",
        "./FwUpdate/pkg/Update",
        "./FwUpdate/pkg/Update/PkgData",
        "./FwUpdate/pkg/DownloadAndUpdate",
        "./FwUpdate/pkg/DownloadAndUpdate/PkgURL",
    ]
    assert PARENTS.issubset(ROOTS)


@pytest.mark.parametrize("kind", AlertType)
def test_alert_types_with_and_without_their_prefix(kind: AlertType) -> None:
    """A type is known with its prefix, without, and in any case."""
    for text in (
        kind.value,
        REVERSED_DOMAIN_NAME + kind.value,
        (REVERSED_DOMAIN_NAME + kind.value).upper(),
        f" reversed-domain-name:{kind.value} ",
    ):
        assert alert_type(text) is kind


def test_other_alert_types() -> None:
    """Other types are unknown; the two requests are no results."""
    assert alert_type("") is None
    assert alert_type("org.openmobilealliance.dm.firmwareupdate") is None
    assert [kind for kind in AlertType if not kind.is_result] == [
        AlertType.DEVICE_REQUEST,
        AlertType.USER_REQUEST,
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [("200", 200), (b"200", 200), (" 255\n", 255), ("007", 7), ("0", 0)]
    + [(text, None) for text in (None, "", b"", "ok", "-1", "2.0", "1" * 10, "\u0661", b"\xff")],
)
def test_result_codes_come_as_text(data: str | bytes | None, code: int | None) -> None:
    """A code is read from text; what is no number is none."""
    assert result_code(data) == code


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([200], Outcome.SUCCESS),
        ([250, 255, 299], Outcome.PROGRESS),
        ([None, 0, 199, 201, 249, 300, 400, 450, 500, 599, 600, 10**6], Outcome.FAILURE),
    ],
)
def test_what_a_code_says(codes: list[int | None], expected: Outcome) -> None:
    """200 is success, 250 to 299 is on the way, and everything else failed."""
    assert {outcome(code) for code in codes} == {expected}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([401], Failure.DECLINED),
        ([402, 404, 405, 406, 407, 411, 412, 501, 503, 550, 599], Failure.DOWNLOAD),
        ([None, 400, 403, 408, 409, 410, 450, 500, 502, 600], Failure.INSTALL),
    ],
)
def test_why_it_failed(codes: list[int | None], expected: Failure) -> None:
    """The code tells the phase that failed."""
    assert {failure(code, AlertType.DOWNLOAD_AND_UPDATE) for code in codes} == {expected}
    assert {failure(code, None) for code in codes} == {expected}


def test_what_failed_in_a_download_is_the_download() -> None:
    """A report of a download is about the download, but for the user's own no."""
    assert failure(410, AlertType.DOWNLOAD) is Failure.DOWNLOAD
    assert failure(None, AlertType.DOWNLOAD) is Failure.DOWNLOAD
    assert failure(401, AlertType.DOWNLOAD) is Failure.DECLINED


def test_numbers_are_the_specification_s() -> None:
    """A few numbers of each table, as a reader of the specification would check them."""
    assert [State(10), State(50), State(100)] == [
        State.IDLE,
        State.READY_TO_UPDATE,
        State.UPDATE_OK_NO_DATA,
    ]
    assert [AlertCode(1201), AlertCode(1226)] == [AlertCode.CLIENT_INITIATED, AlertCode.GENERIC]
    assert StatusCode(424) is StatusCode.SIZE_MISMATCH
    assert Result(411) is Result.BAD_URL
    assert Format("b64") is Format.B64


@pytest.mark.parametrize(
    ("code", "good"),
    [(200, True), (202, True), (299, True), (0, False), (199, False), (304, False), (401, False)],
)
def test_which_statuses_are_success(code: int, good: bool) -> None:
    """Only 2xx means that a command was, or will be, done; 0 is a refusal."""
    assert is_success(code) is good


@given(st.text() | st.binary())
def test_any_text_is_a_code_or_none(data: str | bytes) -> None:
    """Nothing that a device reports raises anything."""
    outcome(result_code(data))
    with contextlib.suppress(UnicodeDecodeError):
        alert_type(data if isinstance(data, str) else data.decode())
