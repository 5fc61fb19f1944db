"""From a folder to a version that answers, or to the reason why not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from foretell.engine.cpus import usable_cpus
from foretell.engine.loader import Loader
from foretell.engine.version import Version
from foretell.errors import IntegrityError, ManifestError, ScreeningError, StoreError
from foretell.prediction import PredictRequest, RequestRecord
from foretell.settings import EngineSettings, LimitSettings, Settings, StoreSettings
from foretell.signature import Signature, Tensor
from foretell.store.model_config import ModelConfig
from tests.engine import loaders
from tests.engine.test_graph_signature import picky_model
from tests.models import (
    classifier_bytes,
    digest_of,
    identity_bytes,
    linear_model_bytes,
    make_manifest,
    model_bytes,
    signature_of,
    steps_bytes,
    two_input_bytes,
    value_info,
    write_version,
)
from tests.store.test_artifact import WEIGHTS, external_model

LOADER = msgspec.structs.replace(loaders.LOADER, limits=LimitSettings(max_rows=10))
MODEL = linear_model_bytes(weights=[2, 3])


def load(folder: Path, loader: Loader = LOADER) -> Version:
    return loader.load("m", 7, folder, ModelConfig())


def answer(version: Version, **inputs: Any) -> dict[str, Any]:
    tensors = {name: np.array(value, dtype=np.float32) for name, value in inputs.items()}
    response = asyncio.run(version.predict(PredictRequest(tensors, 1, RequestRecord("test", "native", 0))))
    return {name: tensor.tolist() for name, tensor in response.outputs.items()}


def test_the_settings_of_a_server_say_how_versions_are_loaded() -> None:
    settings = Settings(
        store=StoreSettings(max_file_bytes=1),
        engine=EngineSettings(intra_op_threads=2, run_threads=3, inline_us=4),
    )
    loader = Loader.of(settings)
    assert (loader.max_file_bytes, loader.intra_op_threads, loader.inline_us) == (1, 2, 4)
    assert loader.pool.threads == 3
    assert loader.limits == settings.limits


def test_a_published_version_answers(store: Path) -> None:
    version = LOADER.load("m", 7, write_version(store, "m", 7, MODEL), ModelConfig())
    assert answer(version, X=[[10, 100]]) == {"Y": [[320]]}
    assert (version.info.name, version.info.version) == ("m", 7)
    assert version.info.digest == digest_of(MODEL).sha256
    assert version.info.signature == signature_of(MODEL)
    assert version.info.manifest == make_manifest(MODEL)
    assert version.cost is not None
    assert version.info.load_s is not None
    assert version.info.load_s > 0


def test_a_bare_model_answers_with_the_signature_of_its_graph(store: Path) -> None:
    version = load(write_version(store, "m", 7, classifier_bytes(("no", "yes"), zipmap=True), manifest=False))
    assert version.info.manifest is None
    assert version.info.signature.classes == ("no", "yes")


@pytest.mark.parametrize("manifest", [True, False], ids=["published", "bare"])
def test_external_data_is_read_from_the_version_s_own_folder(
    store: Path, manifest: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_version(store, "m", 7, external_model(), manifest, {"weights.bin": WEIGHTS})
    version = LOADER.load("m", 7, folder, ModelConfig())
    assert answer(version, X=[[10, 100]]) == {"Y": [[320]]}


@pytest.mark.parametrize(("asked", "wanted"), [(3, 3), (None, usable_cpus())])
def test_the_threads_are_as_many_as_asked_for_or_one_per_cpu(asked: int | None, wanted: int) -> None:
    assert Loader.of(Settings(engine=EngineSettings(run_threads=asked))).pool.threads == wanted


def test_a_limit_of_rows_is_the_parser_s(store: Path) -> None:
    version = load(write_version(store, "m", 7, MODEL))
    rows = msgspec.convert([[1, 2]] * 10, version.parser.rows)
    assert version.parser.tensors_of_rows(rows)[1] == 10
    with pytest.raises(msgspec.ValidationError, match="length <= 10"):
        msgspec.convert([[1, 2]] * 11, version.parser.rows)


RIGHT = signature_of(two_input_bytes())
A, B = RIGHT.inputs
Y = RIGHT.outputs[0]
OTHER_GRAPHS: dict[str, tuple[Signature, str]] = {
    "input of another name": (Signature((A, Tensor("C", "float32", B.shape)), (Y,)), "C (float32)"),
    "input of another type": (Signature((A, Tensor("B", "float64", B.shape)), (Y,)), "B (float64)"),
    "input too few": (Signature((A,), (Y,)), "the graph has A (float32), B (float32)"),
    "input too many": (Signature((A, B, Tensor("C", "bool", ())), (Y,)), "C (bool)"),
    "wider input": (Signature((A, Tensor("B", "float32", ("batch", 2))), (Y,)), "'B' the shape ['batch', 2]"),
    "input of another rank": (
        Signature((A, Tensor("B", "float32", ("batch",))), (Y,)),
        "'B' the shape ['batch']",
    ),
    "output of another name": (Signature((A, B), (Tensor("Z", "float32", Y.shape),)), "Z (float32)"),
    "output of another type": (Signature((A, B), (Tensor("Y", "int64", Y.shape),)), "Y (int64)"),
    "output too few": (Signature((A, B), ()), "the graph has Y (float32)"),
}


@pytest.mark.parametrize(("signature", "wanted"), OTHER_GRAPHS.values(), ids=OTHER_GRAPHS)
def test_a_manifest_that_describes_another_graph_is_refused(
    store: Path, signature: Signature, wanted: str
) -> None:
    model = two_input_bytes()
    with pytest.raises(IntegrityError) as caught:
        load(write_version(store, "m", 7, model, make_manifest(model, signature)))
    assert str(caught.value).startswith("the manifest ")
    assert wanted in str(caught.value)


def test_inputs_may_be_described_in_another_order(store: Path) -> None:
    model = two_input_bytes()
    load(write_version(store, "m", 7, model, make_manifest(model, Signature((B, A), (Y,)))))


@pytest.mark.parametrize("shape", [("rows", 2), (None, 2), ("batch", None), (4, 2)], ids=str)
def test_a_manifest_may_know_more_or_less_of_a_shape_than_the_graph(store: Path, shape: Any) -> None:
    signature = signature_of(MODEL)
    described = msgspec.structs.replace(signature, inputs=(Tensor("X", "float32", shape),))
    load(write_version(store, "m", 7, MODEL, make_manifest(MODEL, described)))


def test_a_graph_that_does_not_say_its_rank_takes_the_manifest_s_word(store: Path) -> None:
    model = identity_bytes("float32", None)
    described = Signature((Tensor("X", "float32", ("batch", 2)),), (Tensor("Y", "float32", ("batch", 2)),))
    load(write_version(store, "m", 7, model, make_manifest(model, described)))


def test_outputs_that_are_flattened_are_the_manifest_s_to_describe(store: Path) -> None:
    model = classifier_bytes(zipmap=True)
    flat = signature_of(classifier_bytes())
    load(write_version(store, "m", 7, model, make_manifest(model, flat)))


def test_a_file_beyond_the_limit_is_refused(store: Path) -> None:
    loader = msgspec.structs.replace(LOADER, max_file_bytes=10)
    with pytest.raises(ScreeningError, match=r"the limit is 10 \(setting store\.max_file_bytes\)"):
        load(write_version(store, "m", 7, MODEL), loader)


@pytest.mark.parametrize(
    ("model", "manifest", "error"),
    [(b"", False, ScreeningError), (b"PK\x03\x04", False, ScreeningError)],
    ids=["empty file", "zip"],
)
def test_what_is_no_model_is_refused(
    store: Path, model: bytes, manifest: bool, error: type[StoreError]
) -> None:
    with pytest.raises(error):
        load(write_version(store, "m", 7, model, manifest))


def test_a_broken_manifest_is_refused(store: Path) -> None:
    folder = write_version(store, "m", 7, MODEL)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ManifestError):
        load(folder)


def test_a_bare_model_that_fails_on_zeros_serves_only_if_the_team_says_so(store: Path) -> None:
    folder = write_version(store, "m", 7, picky_model(), manifest=False)
    with pytest.raises(IntegrityError, match=r"warm-up run fails on zeros: .*`warm_up = false`"):
        load(folder)
    version = LOADER.load("m", 7, folder, ModelConfig(warm_up=False))
    assert version.cost is None


def test_a_graph_without_outputs_is_refused(store: Path) -> None:
    model = onnx.load_model_from_string(MODEL)
    del model.graph.output[:]
    with pytest.raises(ScreeningError, match="no outputs"):
        load(write_version(store, "m", 7, model.SerializeToString(), manifest=False))


def test_a_bare_model_of_very_many_inputs_is_refused(store: Path) -> None:
    inputs = [value_info(f"x{at}", "float32", ("batch",)) for at in range(600)]
    node = onnx.helper.make_node("Identity", ["x0"], ["Y"])
    model = model_bytes([node], inputs, [value_info("Y", "float32", ("batch",))])
    with pytest.raises(ScreeningError, match="600 inputs"):
        load(write_version(store, "m", 7, model, manifest=False))


def test_a_long_text_does_not_run_on_the_event_loop(store: Path) -> None:
    model = identity_bytes("string", ("batch", 1))
    loader = msgspec.structs.replace(LOADER, inline_us=1e6)
    signature = msgspec.structs.replace(signature_of(model), example=["some words"])
    version = loader.load(
        "m", 7, write_version(store, "m", 7, model, make_manifest(model, signature)), ModelConfig()
    )
    limit = version.inline_rows * len("some words")

    async def ran_inline(text: str) -> bool:
        inputs = {version.info.signature.inputs[0].name: np.array([[text]], dtype=object)}
        before = asyncio.all_tasks()
        answering = asyncio.ensure_future(
            version.predict(PredictRequest(inputs, 1, RequestRecord("test", "native", 0)))
        )
        await asyncio.sleep(0)
        at_once = answering.done()
        assert (await answering).outputs[version.info.signature.outputs[0].name].tolist() == [[text]]
        assert before == asyncio.all_tasks()
        return at_once

    assert version.inline_rows > 0
    assert asyncio.run(ran_inline("x" * min(limit // 2, 1000)))
    assert not asyncio.run(ran_inline("x" * (limit * 2)))


def test_what_may_loop_does_not_run_on_the_event_loop(store: Path) -> None:
    loader = msgspec.structs.replace(LOADER, inline_us=1e6)
    assert load(write_version(store, "m", 7, steps_bytes()), loader).inline_rows == 0
    assert load(write_version(store, "n", 7, MODEL), loader).inline_rows > 0
