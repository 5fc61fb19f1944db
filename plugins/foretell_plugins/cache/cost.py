"""What the cache costs where it has no answer, measured."""

from __future__ import annotations

import statistics
import time
from typing import Final

import numpy as np

from foretell.plugin import ModelInfo, PredictRequest, PredictResponse, RequestRecord
from foretell.signature import BATCH, Signature, Tensor
from foretell_plugins.cache.config import CacheConfig
from foretell_plugins.cache.memory import Memory
from foretell_plugins.cache.version import CachedVersion

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
    response = PredictResponse(
        {"label": np.zeros(1, dtype=np.int64), "probabilities": np.zeros((1, 2), dtype=np.float32)}
    )
    took_ns: list[int] = []
    for number in range(_TRIALS):
        inputs = {"X": np.full((1, _COLUMNS), number, dtype=np.float32)}
        request = PredictRequest(inputs, 1, RequestRecord("", "native", 0, headers=_HEADERS))
        between += 1
        began_ns = time.perf_counter_ns()
        key = version.begin(request)
        if key is None or isinstance(key, PredictResponse):
            raise RuntimeError("a new question is no miss")
        version.end(request, key, response)
        took_ns.append(time.perf_counter_ns() - began_ns)
    return statistics.median(took_ns) / 1000


async def _answer(request: PredictRequest) -> PredictResponse:
    raise RuntimeError(f"nobody is to ask for {request!r}")
