"""Structured logs: text for people, JSON for machines, request ids in both.

Idle polls are not logged: a line costs a quarter of one. Tracebacks come without the values of
variables: among those of a request are its tokens and passwords. A line that cannot be written, because the
disk is full or whoever read it is gone, is lost, and nothing else is: who logs is not to fail by it.
"""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_bare_traceback = ExceptionDictTransformer(show_locals=False)


class _Stream:
    """A stream that may be unable to take what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def set_up_logging(level: str, style: str) -> None:
    """Send our logs and those of libraries to standard error; ``style`` is text or json."""
    json = style == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.ExceptionRenderer(_bare_traceback)] if json else []),
            structlog.processors.JSONRenderer()
            if json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    # What a client sends malformed is answered to it, and not worth a line.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), stream=sys.stderr)
