"""What the cache costs where it has no answer, measured."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from foretell.plugin import ModelInfo, PredictRequest, PredictResponse, RequestRecord
from foretell.signature import BATCH, Signature, Tensor
from foretell_plugins.cache.config import CacheConfig
from foretell_plugins.cache.memory import Memory
from foretell_plugins.cache.version import CachedVersion

if TYPE_CHECKING:
    from foretell.plugin import Predict

__all__ = ["measure_miss"]

_TRIALS: Final = 20
_COLUMNS: Final = 16
_BETWEEN_BYTES: Final = 1024**2
"""How much memory is gone through before each trial: a request finds the processor's caches full of other things."""

_SIGNATURE: Final = Signature(
    (Tensor("X", "float32", (BATCH, _COLUMNS)),),
    (Tensor("label", "int64", (BATCH,)), Tensor("probabilities", "float32", (BATCH, 2))),
)
_HEADERS: Final = ((b"host", b"localhost"), (b"content-type", b"application/json"), (b"accept", b"*/*"))


def measure_miss() -> float:
    """What a miss adds to a run here, µs: to make the key, look, note that it is being answered, and keep the answer.

    Takes some milliseconds. Each trial begins with cold caches, as a request does. It is the median, as what a run of
    a model costs is, so that what else the machine does falls on both.
    """
    model = ModelInfo("", 0, "", "", _SIGNATURE)
    memory = Memory(1024**2)
    version = CachedVersion(_answer, model, CacheConfig(), memory=memory, shared=None, owner=0)
    between = np.zeros(_BETWEEN_BYTES, dtype=np.uint8)
    with_cache: list[int] = []
    without: list[int] = []
    for number in range(2 * _TRIALS):
        inputs = {"X": np.full((1, _COLUMNS), number, dtype=np.float32)}
        request = PredictRequest(inputs, 1, RequestRecord("", "native", 0, headers=_HEADERS))
        predict, taken = (version.predict, with_cache) if number % 2 else (_answer, without)
        between += 1
        taken.append(_time_ns(predict, request))
    return max(0.0, statistics.median(with_cache) - statistics.median(without)) / 1000


async def _answer(request: PredictRequest) -> PredictResponse:
    """A made-up version."""
    del request
    return PredictResponse(
        {"label": np.zeros(1, dtype=np.int64), "probabilities": np.zeros((1, 2), dtype=np.float32)}
    )


def _time_ns(predict: Predict, request: PredictRequest) -> int:
    """How long an answer takes that waits for nothing, and so needs no event loop."""
    began_ns = time.perf_counter_ns()
    steps = predict(request).__await__()
    try:
        next(steps)
    except StopIteration:
        return time.perf_counter_ns() - began_ns
    raise RuntimeError("a made-up version waits for something")
