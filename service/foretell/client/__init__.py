"""Asks a foretell server for predictions, from any Python that has httpx; nothing of the server is imported."""

from importlib.util import find_spec

if find_spec("httpx") is None:
    raise ImportError("foretell.client needs httpx: pip install 'foretell[client]'", name="httpx")

from foretell.client.async_client import AsyncClient
from foretell.client.client import Client
from foretell.client.errors import (
    AccessDeniedError,
    DeadlineError,
    ForetellError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Problem,
    ServerError,
    UnexpectedAnswerError,
    UnreachableError,
)
from foretell.client.prediction import Prediction
from foretell.client.retries import Retries

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "Client",
    "DeadlineError",
    "ForetellError",
    "InvalidInputError",
    "NotFoundError",
    "OverloadedError",
    "Prediction",
    "Problem",
    "Retries",
    "ServerError",
    "UnexpectedAnswerError",
    "UnreachableError",
]
