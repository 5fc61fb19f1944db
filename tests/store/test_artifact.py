"""The files of a version: only those that were published are used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from foretell.engine.session import Session
from foretell.errors import IntegrityError, ManifestError, ScreeningError, StoreError
from foretell.store.artifact import read_artifact
from foretell.store.manifest import FileDigest
from tests.models import digest_of, linear_model_bytes, make_manifest, signature_of, write_version

MODEL = linear_model_bytes()
WEIGHTS = np.array([[2.0], [3.0]], dtype=np.float32).tobytes()
SIGNATURE = signature_of(MODEL)
MAX_BYTES = 1_000_000


def external_model(location: str = "weights.bin") -> bytes:
    """The linear model with its weights in another file."""
    model = onnx.load_model_from_string(MODEL)
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    return bytes(model.SerializeToString())


def write_external(store: Path) -> Path:
    return write_version(store, "m", 1, external_model(), files={"weights.bin": WEIGHTS})


def test_a_published_version_is_read_whole(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL)
    artifact = read_artifact(folder, max_bytes=MAX_BYTES)
    assert artifact.folder == folder
    assert artifact.model == MODEL
    assert artifact.digest == digest_of(MODEL).sha256
    assert artifact.manifest == make_manifest(MODEL)
    assert artifact.external == set()


def test_a_bare_model_file_needs_no_manifest(store: Path) -> None:
    artifact = read_artifact(write_version(store, "m", 1, MODEL, manifest=False), max_bytes=MAX_BYTES)
    assert artifact.manifest is None
    assert artifact.digest == digest_of(MODEL).sha256


@pytest.mark.parametrize("manifest", [True, False], ids=["published", "bare"])
def test_external_data_in_the_same_folder_is_read_and_runs(store: Path, manifest: bool) -> None:
    folder = write_version(store, "m", 1, external_model(), manifest, {"weights.bin": WEIGHTS})
    artifact = read_artifact(folder, max_bytes=MAX_BYTES)
    assert artifact.external == {"weights.bin"}
    session = Session(folder / "model.onnx")
    answer = session.run({"X": np.array([[10, 100]], dtype=np.float32)})
    assert answer["Y"].tolist() == [[320]]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def append(path: Path) -> None:
    # An unknown field: still a well-formed model file.
    path.write_bytes(path.read_bytes() + b"\xf8\x06\x00")


DAMAGE: dict[str, Callable[[Path], None]] = {"flipped bit": flip_a_bit, "other size": append}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", ["model.onnx", "weights.bin"])
def test_a_file_that_was_changed_is_refused(store: Path, file: str, damage: Callable[[Path], None]) -> None:
    folder = write_external(store)
    damage(folder / file)
    with pytest.raises(IntegrityError, match=rf"{file} is not the file that was published"):
        read_artifact(folder, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("file", ["model.onnx", "weights.bin"])
def test_a_file_that_is_absent_is_named(store: Path, file: str) -> None:
    folder = write_external(store)
    (folder / file).unlink()
    with pytest.raises(StoreError, match=file):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_listed_file_that_the_model_does_not_need_must_be_there_too(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL, files={"notes.txt": b"notes"})
    read_artifact(folder, max_bytes=MAX_BYTES)
    (folder / "notes.txt").unlink()
    with pytest.raises(IntegrityError, match=r"notes.txt is absent or cannot be read: No such file"):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_file_that_is_not_listed_is_ignored(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL)
    (folder / "stray").write_text("stray")
    read_artifact(folder, max_bytes=MAX_BYTES)


def test_external_data_that_is_not_listed_is_refused(store: Path) -> None:
    folder = write_version(store, "m", 1, external_model(), make_manifest(external_model(), SIGNATURE))
    (folder / "weights.bin").write_bytes(WEIGHTS)
    with pytest.raises(IntegrityError, match=r"'weights\.bin', which .* the manifest does not list"):
        read_artifact(folder, max_bytes=MAX_BYTES)


TRICKS = [
    "",
    ".",
    "..",
    "../2/model.onnx",
    "/etc/passwd",
    "sub/weights.bin",
    "sub\\weights.bin",
    "weights.bin\0",
    pytest.param("w" * 300, id="overlong"),
]


@pytest.mark.parametrize("name", TRICKS, ids=repr)
def test_a_manifest_can_list_no_path(store: Path, name: str) -> None:
    (store / "m" / "2").mkdir(parents=True)
    (store / "m" / "2" / "model.onnx").write_bytes(b"")
    folder = write_version(store, "m", 1, MODEL, manifest=False)
    (folder / "sub").mkdir()
    (folder / "sub" / "weights.bin").write_bytes(b"")
    manifest = make_manifest(MODEL)
    files = {**manifest.files, name: digest_of(b"")}
    (folder / "manifest.json").write_bytes(msgspec.structs.replace(manifest, files=files).encode())
    with pytest.raises(IntegrityError):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_listed_file_may_not_be_a_link(store: Path, tmp_path: Path) -> None:
    folder = write_external(store)
    (tmp_path / "outside.bin").write_bytes(WEIGHTS)
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(StoreError, match="link"):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_listed_file_that_the_model_does_not_need_may_not_be_a_link(store: Path, tmp_path: Path) -> None:
    folder = write_version(store, "m", 1, MODEL, files={"notes.txt": b"notes"})
    (folder / "notes.txt").rename(tmp_path / "notes.txt")
    (folder / "notes.txt").symlink_to(tmp_path / "notes.txt")
    with pytest.raises(IntegrityError, match=r"'notes.txt', which is not a file of its folder"):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_folder_is_no_file(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL, files={"notes.txt": b""})
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").mkdir()
    with pytest.raises(IntegrityError, match=r"notes.txt is not a regular file"):
        read_artifact(folder, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_a_pipe_is_not_waited_for(store: Path, file: str) -> None:
    folder = write_version(store, "m", 1, MODEL)
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(IntegrityError, match=rf"{file} is not a regular file"):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_an_absent_folder_is_an_absent_model_file(store: Path) -> None:
    with pytest.raises(IntegrityError, match=r"model.onnx is absent"):
        read_artifact(store / "m" / "1", max_bytes=MAX_BYTES)


@pytest.mark.parametrize("file", ["model.onnx", "notes.txt"])
def test_a_file_beyond_the_limit_is_refused_with_the_setting_that_allows_it(store: Path, file: str) -> None:
    files = {"model.onnx": linear_model_bytes(1000), "notes.txt": b"notes"}
    if file == "notes.txt":
        files = {"model.onnx": MODEL, "notes.txt": bytes(5000)}
    model = files.pop("model.onnx")
    folder = write_version(store, "m", 1, model, files=files)
    size = (folder / file).stat().st_size
    with pytest.raises(
        ScreeningError, match=rf"{file} has {size} bytes; the limit is {size - 1} \(setting store"
    ):
        read_artifact(folder, max_bytes=size - 1)
    read_artifact(folder, max_bytes=size)


def test_external_data_of_a_bare_model_is_held_to_the_limit_too(store: Path) -> None:
    weights = WEIGHTS + bytes(10_000)
    folder = write_version(store, "m", 1, external_model(), False, {"weights.bin": weights})
    with pytest.raises(ScreeningError, match=r"weights.bin has 10008 bytes; the limit is 10007"):
        read_artifact(folder, max_bytes=10_007)


def test_a_broken_manifest_refuses_the_version(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL)
    (folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ManifestError):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_manifest_with_another_digest_names_both(store: Path) -> None:
    manifest = make_manifest(MODEL)
    other = FileDigest(manifest.files["model.onnx"].size_bytes, "0" * 64)
    wrong = msgspec.structs.replace(manifest, files={"model.onnx": other})
    folder = write_version(store, "m", 1, MODEL, wrong)
    with pytest.raises(IntegrityError) as caught:
        read_artifact(folder, max_bytes=MAX_BYTES)
    assert "0" * 64 in str(caught.value)
    assert digest_of(MODEL).sha256 in str(caught.value)


def test_a_model_that_refers_outside_is_refused_whatever_the_manifest_says(store: Path) -> None:
    (store / "m").mkdir()
    (store / "m" / "secret").write_bytes(WEIGHTS)
    model = external_model("../secret")
    folder = write_version(store, "m", 1, model, make_manifest(model, SIGNATURE))
    with pytest.raises(ScreeningError, match="not a path inside the version's folder"):
        read_artifact(folder, max_bytes=MAX_BYTES)


def test_a_folder_that_cannot_be_looked_into_is_an_error_of_the_store(store: Path) -> None:
    folder = write_version(store, "m", 1, MODEL)
    with pytest.raises(IntegrityError, match=r"cannot be read: .*File name too long"):
        read_artifact(folder / ("x" * 300), max_bytes=MAX_BYTES)
