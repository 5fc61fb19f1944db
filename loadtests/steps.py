"""What the steps of one prediction take, each in a loop of nothing else, and all of them one after the other.

    python loadtests/steps.py                      one row for breast_cancer
    python loadtests/steps.py --model iris         one row for another model of the sample store

The whole takes more than the sum of its steps: each finds its code and its data gone from the processor's caches.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Final

import msgspec
import orjson

from foretell.app import create_app
from foretell.http.answer import Answer
from foretell.http.application import Application
from foretell.http.head import Head
from foretell.http.routes import PREDICT, Route
from foretell.http.wire import Wire
from foretell.prediction import PredictResponse
from foretell.settings import Settings

STORE: Final = Path(__file__).parents[1] / "model_store"
LOOPS: Final = 9
TURNS: Final = 3000
DEFAULTS: Final = [(b"date", b"Fri, 27 Nov 2026 12:00:00 GMT")]


def took_us(step: Callable[[], object]) -> float:
    """The duration of a step, the least of some loops, µs."""
    least = float("inf")
    for _ in range(LOOPS):
        began = time.perf_counter()
        for _ in range(TURNS):
            step()
        least = min(least, (time.perf_counter() - began) / TURNS)
    return least * 1e6


async def measure(model: str) -> dict[str, float]:
    """The steps of one prediction, and what they take, µs."""
    settings = {
        "store": {"path": str(STORE), "follow": "off"},
        "plugins": {"enabled": []},
        "log": {"level": "error"},
        "engine": {"inline_us": 1_000_000},  # however slow the machine is, a run happens at once
    }
    app = create_app(msgspec.convert(settings, Settings))
    assert isinstance(app, Application)
    async with app.lifespan():
        core, wire = app.adapter.core, Wire()
        route = Route(f"/v1/models/{model}:predict", "native", model, verb=PREDICT)
        head = Head.of([(b"host", b"localhost:8000"), (b"content-type", b"application/json")])
        lookup = core._lookup  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        endpoint = lookup.endpoint(route)
        codec = endpoint.codec("native", None)
        body = orjson.dumps(codec.example())

        def answered() -> Answer:
            answer = core.predict(route, head, body)
            assert isinstance(answer, Answer)
            return answer

        answer = answered()
        assert answer.status == 200, answer.body
        record = answer.record
        request, encode = codec.decode(body, record)
        response = endpoint.respond(request)
        assert isinstance(response, PredictResponse)
        return {
            "from a body to an answer": took_us(answered),
            "  look up what answers it": took_us(lambda: lookup.endpoint(route)),
            "  read the body": took_us(lambda: codec.decode(body, record)),
            "  the model's run": took_us(lambda: endpoint.respond(request)),
            "  write the body": took_us(lambda: encode(request, response)),
            "write the answer's head": took_us(lambda: wire.write(answer, DEFAULTS)),
            "a context of its own": took_us(lambda: copy_context().run(time.perf_counter_ns)),
        }


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        default="breast_cancer",
        choices=sorted({path.parent.parent.name for path in STORE.glob("*/*/model.onnx")}),
        help="a model of model_store/; %(default)s",
    )
    found = asyncio.run(measure(parser.parse_args().model))
    print(f"{'':<32} {'µs':>6}")
    for step, us in found.items():
        print(f"{step:<32} {us:>6.2f}")


if __name__ == "__main__":
    main()
