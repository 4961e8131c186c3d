"""What the log shows when something fails: where, and none of the values; and what follows if it cannot."""

import errno
import io
import os
import sys

import pytest
import structlog

from overair.log import set_up_logging

SECRET = "hunter2-" + "in-the-frame"


def _fail(password: str) -> None:
    raise RuntimeError("nobody foresaw this")


@pytest.mark.parametrize("style", ["text", "json"])
def test_tracebacks_have_no_values(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logged traceback names the place and holds none of the variables, for they may be secrets."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    before = structlog.get_config()
    set_up_logging("info", style)
    try:
        try:
            _fail(SECRET)
        except RuntimeError:
            structlog.get_logger().exception("request failed")
    finally:
        structlog.configure(**before)
    assert "nobody foresaw this" in written.getvalue()
    assert "_fail" in written.getvalue()
    assert SECRET not in written.getvalue()


class _FullDisk(io.StringIO):
    """A log file for which there is no room."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_line_that_cannot_be_written_is_lost(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk, or when the stream is closed, whoever logs goes on."""
    before = structlog.get_config()
    closed = io.StringIO()
    closed.close()
    for stream in (_FullDisk(), closed):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(stream, "isatty", lambda: False)
        set_up_logging("info", style)
        try:
            structlog.get_logger().error("nobody hears this")
        finally:
            structlog.configure(**before)
