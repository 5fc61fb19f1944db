"""One copy of large weights for all processes of a server, and the same answers as without."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from foretell.engine import shared_weights
from foretell.engine.pool import Pool
from foretell.engine.session import _LAID_OUT, Session
from foretell.engine.version import Version
from foretell.logs import open_log
from foretell.prediction import PredictRequest, RequestRecord
from foretell.settings import LogSettings
from foretell.store.model_config import ModelConfig
from foretell.supervisor.shared_folder import shared_folder
from tests.engine.loaders import LOADER
from tests.models import linear_model_bytes, model_bytes, value_info, write_version
from tests.servers import ROOT, ServeStore

SIDE = 2048
WEIGHT_BYTES = 3 * SIDE * SIDE * 4


def wide_bytes(seed: int = 0) -> bytes:
    """Products with three square matrices; their weights are what it takes."""
    rng = np.random.default_rng(seed)
    sizes = [1, SIDE, SIDE, SIDE, SIDE, 1]
    weights = {
        f"W{n}": (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)
        for n, shape in enumerate(itertools.pairwise(sizes))
    }
    names = ["X", "H0", "H1", "H2", "H3", "Y"]
    nodes = [
        helper.make_node("MatMul", [before, f"W{n}"], [after])
        for n, (before, after) in enumerate(itertools.pairwise(names))
    ]
    return model_bytes(
        nodes,
        [value_info("X", "float32", ["batch", 1])],
        [value_info("Y", "float32", ["batch", 1])],
        weights,
    )


@pytest.fixture(scope="module")
def wide() -> bytes:
    return wide_bytes()


@contextmanager
def loaded(store: Path, shared: Path | None, **config: Any) -> Generator[Version]:
    loader = msgspec.structs.replace(
        LOADER,
        max_file_bytes=10**9,
        pool=Pool(1),
        shared=None if shared is None else shared_weights.SharedWeights(shared),
    )
    version = loader.load("wide", 1, store / "wide" / "1", msgspec.convert(config, ModelConfig))
    try:
        yield version
    finally:
        version.close()
        loader.pool.close(waits_s=10)


def answer(version: Version) -> bytes:
    inputs = {"X": np.linspace(-3, 3, 7, dtype=np.float32).reshape(7, 1)}
    response = asyncio.run(version.predict(PredictRequest(inputs, 7, RequestRecord("test", "native", 0))))
    return response.outputs["Y"].tobytes()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def test_it_answers_as_without_and_leaves_nothing_behind(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, None) as version:
        expected = answer(version)
        assert (version.weights.shared, version.weights.reason) == (False, "one copy: there is one worker")
    with loaded(store, shared) as version:
        assert (version.weights.shared, version.weights.reason) == (True, "one copy for all workers")
        assert WEIGHT_BYTES <= version.weights.size_bytes < WEIGHT_BYTES * 1.01
        assert answer(version) == expected
        with loaded(store, shared) as second:
            assert len(left_in(shared)) == 1
            assert answer(second) == expected
        assert len(left_in(shared)) == 1
        assert answer(version) == expected
    assert left_in(shared) == []


def test_the_files_may_be_gone_while_it_answers(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, shared) as version:
        expected = answer(version)
        version.close()
        assert left_in(shared) == []
        assert answer_of_session(version) == expected


def answer_of_session(version: Version) -> bytes:
    inputs = {"X": np.linspace(-3, 3, 7, dtype=np.float32).reshape(7, 1)}
    return version._session.run(inputs)["Y"].tobytes()


def test_weights_outside_of_the_model_file_are_shared_too(store: Path, shared: Path, wide: bytes) -> None:
    folder = write_version(store, "wide", 1, wide, manifest=False)
    with loaded(store, None) as version:
        expected = answer(version)
    model = onnx.load_from_string(wide)
    onnx.save_model(  # pyright: ignore[reportUnknownMemberType] - its annotation is generic
        model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024
    )
    with loaded(store, shared) as version:
        assert (version.weights.shared, version.weights.size_bytes >= WEIGHT_BYTES) == (True, True)
        assert answer(version) == expected


def test_small_weights_are_left_alone(store: Path, shared: Path) -> None:
    write_version(store, "wide", 1, linear_model_bytes())
    with loaded(store, shared) as version:
        assert not version.weights.shared
        assert version.weights.reason == "a copy in each worker: they take less than 8 MB"
    assert list(shared.iterdir()) == []


def test_a_team_can_switch_it_off(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, shared, engine={"share_weights": False}) as version:
        assert version.weights.reason == "a copy in each worker, since engine.share_weights is false"


def test_without_a_place_for_them_each_has_its_own(store: Path, tmp_path: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, tmp_path / "absent") as version:
        assert not version.weights.shared
        assert re.fullmatch(
            r"a copy in each worker: they cannot be laid out in '.*/absent': No such file or directory",
            version.weights.reason,
        )
        assert answer(version)


def test_what_answers_differently_once_it_is_laid_out_is_not_shared(
    store: Path, shared: Path, wide: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(store, "wide", 1, wide)
    other = wide_bytes(seed=1)

    def damaged(folder: Path) -> Session:
        (folder / "model.onnx").write_bytes(other)
        return Session(other)

    lay_out = shared_weights.SharedWeights._lay_out

    def lay_out_another(self: Any, folder: Path, make: Any, *others: Any) -> Any:
        def make_another(source: Path | None, to: Path | None) -> Session:
            made: Session = make(source, to) if source is None else damaged(source.parent)
            return made

        return lay_out(self, folder, make_another, *others)

    monkeypatch.setattr(shared_weights.SharedWeights, "_lay_out", lay_out_another)
    with loaded(store, shared) as version:
        assert version.weights.reason == "a copy in each worker: laid out, it answers differently"
    assert left_in(shared) == []


def perceptron_bytes(*sizes: int) -> bytes:
    """Layers with biases, as of a trained network."""
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {}
    nodes: list[onnx.NodeProto] = []
    for n, (before, after) in enumerate(itertools.pairwise(sizes)):
        weights[f"W{n}"] = (rng.standard_normal((before, after)) / before**0.5).astype(np.float32)
        weights[f"B{n}"] = rng.standard_normal((1, after)).astype(np.float32)
        last = n == len(sizes) - 2
        nodes.append(helper.make_node("MatMul", ["X" if n == 0 else f"H{n}", f"W{n}"], [f"M{n}"]))
        nodes.append(helper.make_node("Add", [f"M{n}", f"B{n}"], ["Y" if last else f"A{n}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"A{n}"], [f"H{n + 1}"]))
    return model_bytes(
        nodes,
        [value_info("X", "float32", ["batch", sizes[0]])],
        [value_info("Y", "float32", ["batch", sizes[-1]])],
        weights,
    )


@pytest.mark.parametrize(
    "hidden", [(3000, 1500), (2048, 1100), (2048, 1024), (1999, 1501), (1001, 2503, 7)], ids=str
)
def test_layers_of_any_width_run_on_shared_weights(
    store: Path, shared: Path, hidden: tuple[int, ...]
) -> None:
    # Those of less than 1 MB would lie where ONNX Runtime's instructions crash the process.
    write_version(store, "wide", 1, perceptron_bytes(64, *hidden, 10))
    rows = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    outputs: list[list[bytes]] = []
    for folder in (None, shared):
        with loaded(store, folder) as version:
            assert version.weights.shared == (folder is not None), version.weights.reason
            outputs.append([version._session.run({"X": rows[:n]})["Y"].tobytes() for n in (1, 2, 3, 17, 64)])
    assert outputs[0] == outputs[1]


def test_what_lies_where_no_instruction_can_read_it_is_not_shared(
    store: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(store, "wide", 1, perceptron_bytes(64, 3000, 1500, 10))
    least = "session.optimized_model_external_initializers_min_size_in_bytes"
    monkeypatch.setitem(_LAID_OUT, least, "4096")
    with loaded(store, shared) as version:
        assert version.weights.reason == (
            "a copy in each worker: ONNX Runtime lays some of them out where it cannot compute on them"
        )
        rows = np.ones((3, 64), dtype=np.float32)
        assert version._session.run({"X": rows})["Y"].shape == (3, 10)
    assert left_in(shared) == []


def test_a_full_disk_leaves_each_with_its_own(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with processes(store, None, 1) as alone:
        expected = first_lines(alone)
    with processes(store, shared, 1, file_bytes=1024**2) as running:
        assert first_lines(running) == expected
    assert left_in(shared) == []


def test_what_is_left_of_files_that_were_being_removed_is_laid_out_anew(
    store: Path, shared: Path, wide: bytes
) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, shared) as version:
        expected = answer(version)
        (folder,) = left_in(shared)
    (shared / folder).mkdir()
    (shared / folder / "weights.bin").touch()
    with loaded(store, shared) as version:
        assert version.weights.shared
        assert answer(version) == expected
    assert left_in(shared) == []


def test_where_a_worker_has_died_no_other_tries(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with loaded(store, shared):
        (folder,) = left_in(shared)
    (shared / f"{folder}.staging").mkdir()
    (shared / f"{folder}.staging" / "weights.bin").write_bytes(b"0" * 1000)
    for _ in range(2):
        with loaded(store, shared) as version:
            assert version.weights.reason == "a copy in each worker: a worker has died while it laid them out"
            assert answer(version)
    assert left_in(shared) == [f"{folder}.died"]


def test_a_server_without_a_folder_for_temporary_files_shares_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    out = io.StringIO()
    with shared_folder(open_log(LogSettings(format="json"), out)) as folder:
        assert folder is None
    assert "each worker has a copy of all weights" in out.getvalue()


HOLD = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.engine.test_shared_weights import answer, loaded
shared = Path(sys.argv[2]) if sys.argv[2] else None
with loaded(Path(sys.argv[1]), shared) as version:
    print(answer(version).hex(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def processes(
    store: Path, shared: Path | None, count: int, file_bytes: int = -1
) -> Generator[list[subprocess.Popen[str]]]:
    """Processes that have loaded the version and answered; all at once."""
    command = [sys.executable, "-c", HOLD, str(store), "" if shared is None else str(shared), str(file_bytes)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        yield running
    finally:
        for process in running:
            with suppress(BrokenPipeError):
                process.communicate(timeout=60)


def first_lines(running: list[subprocess.Popen[str]]) -> set[str]:
    return {process.stdout.readline() for process in running if process.stdout is not None}


def private_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) * 1024 for size in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE))


def test_processes_have_one_copy(store: Path, shared: Path, wide: bytes) -> None:
    write_version(store, "wide", 1, wide)
    with processes(store, None, 1) as alone:
        expected = first_lines(alone)
        own_bytes = private_bytes(alone[0].pid)
    assert own_bytes > WEIGHT_BYTES
    with processes(store, shared, 3) as running:
        assert first_lines(running) == expected
        first, *others = sorted(private_bytes(process.pid) for process in running)
        # The one that laid them out may keep some of what that took; what counts is that the others do not.
        assert first < own_bytes - WEIGHT_BYTES * 0.9
        assert others[0] < own_bytes - WEIGHT_BYTES * 0.9
        running[0].kill()  # its right goes with it
        running[0].wait()
    assert left_in(shared) == []


def test_workers_of_a_server_have_one_copy(
    serve_store: ServeStore, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: bytes
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    write_version(store, "wide", 1, wide)
    private: dict[bool, list[int]] = {}
    answers: set[float] = set()
    for shares in (False, True):
        server = serve_store(store, "--workers", "2", "--set", f"engine.share_weights={str(shares).lower()}")
        assert server.url
        answers.update(
            httpx.post(f"{server.url}/v1/models/wide:predict", json={"instances": [[0.5]]}).json()[
                "predictions"
            ][0]
            for _ in range(10)
        )  # each on a connection of its own, so that both workers answer
        private[shares] = [
            private_bytes(server.wait_for("worker ready", worker=slot)["pid"]) for slot in range(2)
        ]
        assert server.stop() == 0
    assert len(answers) == 1
    assert sum(private[True]) < sum(private[False]) - WEIGHT_BYTES * 1.5
    assert not list(temporary.glob("foretell-weights-*"))
