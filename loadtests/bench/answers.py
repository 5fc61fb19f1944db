"""Whether answers are right: nobody is measured who answers something else than the model does."""

from __future__ import annotations

import http.client
import struct
from typing import Final, NamedTuple

import msgspec
import numpy as np

from loadtests.bench.dialects import Dialect
from loadtests.bench.models import Model, Outputs

__all__ = ["Asked", "Refused", "WrongAnswer", "ask", "check"]


_UNREADABLE: Final = (AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError, struct.error)
"""What reading an answer raises that is of another form."""


class WrongAnswer(ValueError):  # noqa: N818 - it is what it says
    """A contender's answer is no prediction, or not the model's."""


class Refused(WrongAnswer):
    """A contender answers with another status than 200, perhaps because it is not ready."""


class Asked(NamedTuple):
    """One question, and every answer that is right: by name, what says so and the outputs."""

    rows: np.ndarray
    truths: dict[str, Outputs]


def ask(port: int, dialect: Dialect, model: Model, rows: np.ndarray) -> Outputs:
    """Ask once, on a connection of its own.

    Raises:
        OSError: Nobody listens, or the connection broke.
        Refused: The status is not 200.
        WrongAnswer: The body cannot be read.
    """
    request = dialect.request(model, rows)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Refused(f"status {answer.status}: {body[:300].decode(errors='replace')}")
        headers = {name.lower(): value for name, value in answer.getheaders()}
        try:
            return dialect.read(model, headers, body)
        except _UNREADABLE as error:
            raise WrongAnswer(f"cannot read {body[:300]!r}: {error!r}") from error
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()


def check(outputs: Outputs, asked: Asked) -> None:
    """Compare an answer with each that is right: labels are equal, numbers to within 1e-5.

    Raises:
        WrongAnswer: They differ.
    """
    for source, truth in asked.truths.items():
        if outputs.keys() != truth.keys():
            raise WrongAnswer(f"outputs {sorted(outputs)}, where {source} has {sorted(truth)}")
        for name, right in truth.items():
            told = outputs[name]
            if told.shape != right.shape:
                raise WrongAnswer(f"{name} has shape {told.shape}, where {source} has {right.shape}")
            if right.dtype.kind == "f":
                same = told.dtype.kind in "fiu" and np.allclose(told, right, rtol=1e-5, atol=1e-5)
            else:
                same = told.astype(str).tolist() == right.astype(str).tolist()
            if not same:
                raise WrongAnswer(f"{name} is {told.ravel()[:4]}, where {source} has {right.ravel()[:4]}")
