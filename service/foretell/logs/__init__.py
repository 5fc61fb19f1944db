"""Structured log lines."""

from foretell.logs.logger import Logger, open_log
from foretell.logs.request_log import RequestLog

__all__ = ["Logger", "RequestLog", "open_log"]
