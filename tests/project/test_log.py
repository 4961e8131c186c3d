"""What the log shows when something fails: where, and none of the values."""

import io
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
