"""How the process speaks: one line an event, for people or for programs, on stderr.

It knows structlog and the names of noisy libraries; it must not know what is said. Lines of libraries that use the
standard logging (kopf, asyncio, aiohttp, whatever an activity uses) come out in the same form; whose code they were
written in is added by who configures. Payloads and secrets are never logged by anybody (I11): an event carries ids,
names, counts and sentences. Passwords in addresses are masked in every line all the same, tracebacks among them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog

__all__ = ["configure"]

_QUIET = {
    "kopf.objects": logging.WARNING,  # an INFO line for every watch event
    "kopf._core.reactor.running": logging.ERROR,  # it warns that signals are ignored in a thread: they are ours
    "kopf": logging.WARNING,  # what matters of its life the observer says itself
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "asyncpg": logging.CRITICAL,  # it complains at each try to reach a database that is away; we say it once
    "kubernetes": logging.WARNING,
}


def configure(
    log_format: str,
    log_level: str,
    *,
    stream: TextIO | None = None,
    whose: Callable[[], Mapping[str, object]] = dict,
    mask: Callable[[str], str] = str,
) -> None:
    """Send everything to `stream` (stderr), as `pretty` or `json` lines, from `log_level` on.

    `whose` gives what each line is to carry where it is written, `mask` what may be shown of it.
    """
    target = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _adding(whose),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_console(target)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer, _masking(mask)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level.upper())
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))


_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s/]+(?=@)|([?&](?:ssl)?password=)[^&\s'\"]+")
"""What follows the user in an address, up to the last `@` before its host; and an option that is a password."""


def _adding(whose: Callable[[], Mapping[str, object]]) -> structlog.typing.Processor:
    """Add to each line whose it is; what a line says of itself stays."""

    def add(*called: Any) -> structlog.typing.EventDict:
        event: structlog.typing.EventDict = called[-1]  # after the logger and the name of the method
        for name, value in whose().items():
            event.setdefault(name, value)
        return event

    return add


def _masking(mask: Callable[[str], str]) -> structlog.typing.Processor:
    """Hide in the finished line what is nobody's business."""

    def hide(*called: Any) -> str:
        return mask(_PASSWORD.sub(r"\1\2***", str(called[-1])))

    return hide


def _console(target: TextIO) -> structlog.typing.Processor:
    """Write for people; tracebacks without the values of variables, which may be anybody's secrets (I11)."""
    return structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )
