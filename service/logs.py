"""Structured logs: one JSON object a line on standard error, each with its request's id.

User ids, contexts and addresses (which may contain a user id) are never written, nor the messages
of unexpected exceptions (which may quote one): an exception is logged by its type and place.
Lines of libraries (uvicorn's start and stop) take the same shape.
"""

import itertools
import logging
import os
import re
import sys
import traceback
from contextvars import ContextVar

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

request_id: ContextVar[str] = ContextVar("request_id", default="")
_GIVEN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_numbers = itertools.count(1)
_process = os.urandom(4).hex()
_log: FilteringBoundLogger = structlog.get_logger()


def new_request_id(given: str | None) -> str:
    """The id a caller gave, if it is fit for a log line, else a new one."""
    if given is not None and _GIVEN_ID.fullmatch(given):
        return given
    return f"{_process}-{next(_numbers):x}"


def logger() -> FilteringBoundLogger:
    """The service's log; the first argument of a line is its event, the rest are its fields."""
    return _log


def configure(level: str) -> None:
    """Set up logging of this process; `level` as the standard library names it."""
    global _log  # noqa: PLW0603 (bound once: binding at every line costs more than the line)
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_request_id,
        _exception_by_place,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    _log = structlog.get_logger().bind()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _with_request_id(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    if current := request_id.get():
        line["request_id"] = current
    return line


def _exception_by_place(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Replace an exception by its type and its frames, without its message."""
    given = line.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exception()
    if isinstance(error, BaseException):
        line["exception"] = type(error).__qualname__
        line["frames"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
    return line
