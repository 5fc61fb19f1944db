"""A loaded version speaks the protocols that fit its inputs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.plugin.chain import Chain
from foretell.prediction import answered
from foretell.protocols.codec import body_of as written
from foretell.protocols.endpoint import INVOCATIONS, NATIVE, SIMPLE, SIMPLE_BATCH, V2, Endpoint
from foretell.settings import LimitSettings
from foretell.store.model_config import ModelConfig
from tests.engine.loaders import LOADER
from tests.models import identity_bytes, linear_model_bytes, write_version
from tests.protocols.codecs import record


def endpoint(store: Path, model: bytes) -> Endpoint:
    folder = write_version(store, "m", 3, model, manifest=False)
    loader = msgspec.structs.replace(LOADER, limits=LimitSettings(max_rows=10), inline_us=10**6)
    version = loader.load("m", 3, folder, ModelConfig())
    return Endpoint(version, Chain.bare(version.respond))


@pytest.mark.parametrize(
    ("shape", "protocols"),
    [
        (("batch", 2), {NATIVE, INVOCATIONS, V2, SIMPLE, SIMPLE_BATCH}),
        ((1, 2), {NATIVE, INVOCATIONS, V2, SIMPLE, SIMPLE_BATCH}),
        ((3, 2), {NATIVE, INVOCATIONS, V2, SIMPLE_BATCH}),
        ((), {NATIVE, INVOCATIONS, V2}),
        ((11, 2), {NATIVE, INVOCATIONS, V2}),
    ],
    ids=["any number of rows", "one row", "three rows", "no rows", "more rows than are allowed"],
)
def test_a_model_is_served_under_the_protocols_that_its_inputs_allow(
    tmp_path: Path, shape: Any, protocols: set[str]
) -> None:
    assert {*endpoint(tmp_path, identity_bytes("float32", shape)).codecs} == protocols


def test_the_headers_name_the_model_and_the_version(tmp_path: Path) -> None:
    served = endpoint(tmp_path, linear_model_bytes())
    assert served.headers == [(b"x-model-name", b"m"), (b"x-model-version", b"3")]
    assert (served.info.name, served.info.version) == ("m", 3)


@pytest.mark.parametrize(
    ("protocol", "body", "key", "expected"),
    [
        (NATIVE, {"instances": [[1, 2], [3, 4]]}, "predictions", [3.0, 7.0]),
        (NATIVE, {"inputs": [[1, 2], [3, 4]]}, "outputs", {"Y": [[3.0], [7.0]]}),
        (SIMPLE, {"features": [1, 2]}, "prediction", 3.0),
        (SIMPLE_BATCH, {"instances": [[1, 2]]}, "predictions", [{"prediction": 3.0}]),
    ],
    ids=["rows", "columns", "simple", "batch"],
)
def test_every_protocol_answers_with_what_the_model_computes(
    tmp_path: Path, protocol: str, body: object, key: str, expected: object
) -> None:
    served = endpoint(tmp_path, linear_model_bytes())
    request, encode = served.codecs[protocol].decode(json.dumps(body).encode(), record())

    async def predict() -> bytes:
        return written(encode(request, await answered(served.respond(request))))

    answer = json.loads(asyncio.run(predict()))
    assert answer[key] == expected
    assert (answer["model_name"], answer["model_version"], answer["request_id"]) == ("m", "3", "id")
