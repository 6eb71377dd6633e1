"""Log events, not prose: one event name plus fields, as text for people or JSON lines for machines."""

import logging
import sys
from typing import Literal

import structlog

Format = Literal["text", "json"]


def configure(level: str, log_format: Format, *watchers: structlog.typing.Processor) -> None:
    """Send the log of this process to standard error, and that of its libraries from WARNING up.

    Args:
        level: a standard level name such as ``INFO``.
        log_format: ``text`` for people, ``json`` for one JSON object a line.
        watchers: hear each event that is logged, with its level and time.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *watchers,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared_steps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared_steps,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
