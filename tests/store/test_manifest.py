"""manifest.json: what was written is read back, and anything else is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ManifestError
from foretell.signature import Column, Signature, Tensor
from foretell.store.manifest import (
    FORMAT_VERSION,
    MODEL_FILE,
    FileDigest,
    Manifest,
    ParityReport,
    Provenance,
)
from tests.models import digest_of, linear_model_bytes, make_manifest

MODEL = linear_model_bytes()
BARE = make_manifest(MODEL)
PARITY = ParityReport(
    rows=400,
    probes=250,
    max_abs_diff=1e-7,
    max_rel_diff=2e-6,
    label_disagreements=0,
    ties=1,
    tolerance=1e-5,
    precision="float32",
    worst_row=(1.5, None, "red", True),
)
FULL = Manifest(
    format_version=FORMAT_VERSION,
    files={MODEL_FILE: digest_of(MODEL), "weights.bin": digest_of(b"weights")},
    signature=Signature(
        inputs=(Tensor("age", "float32", ("batch", 1)), Tensor("colour", "string", (None, 1))),
        outputs=(Tensor("label", "string", ("batch",)), Tensor("probabilities", "float32", ("batch", 2))),
        columns=(
            Column("age", "float32", "age", missing="nan", minimum=0, maximum=99.5),
            Column("colour", "string", "colour", categories=("red", "größe")),
        ),
        task="classification",
        classes=("no", "yes"),
        prediction="label",
        probabilities="probabilities",
        enforce=("ranges",),
        example=(41.0, "red"),
    ),
    opset={"ai.onnx": 21, "ai.onnx.ml": 3},
    provenance=Provenance(
        library="scikit-learn",
        library_version="1.8.0",
        estimator="Pipeline",
        converter={"skl2onnx": "1.20.0"},
        created_at="2026-01-01T00:00:00Z",
        published_by="0.1.0",
    ),
    description="Who leaves; see the wiki.",
    parity=PARITY,
)


def read(folder: Path, raw: bytes) -> Manifest:
    path = folder / "manifest.json"
    path.write_bytes(raw)
    return Manifest.read(path)


def changed(**fields: Any) -> bytes:
    """The bare manifest's JSON with some fields replaced; None takes one out."""
    document = json.loads(BARE.encode()) | fields
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


@pytest.mark.parametrize("manifest", [BARE, FULL], ids=["bare", "full"])
def test_what_was_written_is_read_back(tmp_path: Path, manifest: Manifest) -> None:
    assert read(tmp_path, manifest.encode()) == manifest


def test_it_is_text_for_people_too() -> None:
    text = FULL.encode().decode()
    assert text.endswith("}\n")
    assert '\n  "format_version": 1,' in text
    assert "größe" in text


def test_it_gives_the_digest_of_the_model_file() -> None:
    assert BARE.digest == digest_of(MODEL).sha256


def test_a_file_is_measured_as_it_lies_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 300_000)
    assert FileDigest.of(tmp_path / "a") == digest_of(b"x" * 300_000)


@pytest.mark.parametrize(
    ("changes", "agrees"),
    [
        ({}, True),
        ({"ties": 7}, True),
        ({"label_disagreements": 1}, False),
        ({"beyond_tolerance": 1}, False),
        ({"reason": "it does not run"}, False),
    ],
    ids=str,
)
def test_forms_agree_unless_a_row_says_otherwise(changes: dict[str, Any], agrees: bool) -> None:
    assert msgspec.structs.replace(PARITY, **changes).agrees is agrees


REFUSED = {
    "a newer format": (
        changed(format_version=2),
        "format version 2; this foretell reads 1: upgrade foretell",
    ),
    "a newer format with unknown fields": (changed(format_version=9, shards=[]), "format version 9"),
    "no format version": (changed(format_version=None), "format_version"),
    "a format version in text": (changed(format_version="1"), "$.format_version"),
    "an unknown field": (changed(colour="red"), "colour"),
    "an unknown field inside": (
        changed(files={MODEL_FILE: {"size_bytes": 1, "sha256": "", "md5": ""}}),
        "md5",
    ),
    "no signature": (changed(signature=None), "signature"),
    "an unknown element type": (
        changed(signature={"inputs": [{"name": "X", "dtype": "bfloat16", "shape": []}], "outputs": []}),
        "bfloat16",
    ),
    "no model file": (changed(files={"weights.bin": {"size_bytes": 1, "sha256": ""}}), "lists no model.onnx"),
    "truncated": (BARE.encode()[:-20], "truncated"),
    "empty": (b"", "truncated"),
    "not an object": (b"[1]", "object"),
    "not JSON": (b"format_version = 1", "malformed"),
    "not UTF-8": (b'{"format_version": 1, "description": "\xff"}', "not a manifest"),
    "nested deeply": (b'{"format_version": 1, "x": ' + b"[" * 1_000_000, "not a manifest"),
    "nested deeply from the start": (b"[" * 1_000_000, "not a manifest"),
}


@pytest.mark.parametrize(("raw", "wanted"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_with_file_and_reason(tmp_path: Path, raw: bytes, wanted: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, raw)
    assert str(tmp_path / "manifest.json") in str(caught.value)
    assert wanted in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        Manifest.read(tmp_path / "manifest.json")


@given(at=st.integers(min_value=0), byte=st.binary(min_size=1, max_size=3))
def test_damage_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: bytes
) -> None:
    raw = FULL.encode()
    place = at % len(raw)
    with suppress(ManifestError):
        read(tmp_path_factory.getbasetemp(), raw[:place] + byte + raw[place + len(byte) :])
