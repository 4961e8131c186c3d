"""Structured logs: text for people, JSON for machines, request ids in both.

Idle polls are not logged: a line costs a quarter of one. Tracebacks come without the values of
variables: among those of a request are its tokens and passwords.
"""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_bare_traceback = ExceptionDictTransformer(show_locals=False)


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What a client sends malformed is answered to it, and not worth a line.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), stream=sys.stderr)
