"""One copy of large weights for all processes of a server, and the same answers as without."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
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
from foretell.engine.loader import Loader
from foretell.engine.pool import Pool
from foretell.engine.session import Session
from foretell.engine.version import Version
from foretell.prediction import PredictRequest, RequestRecord
from foretell.settings import LimitSettings
from foretell.store.model_config import ModelConfig
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
    loader = Loader(
        max_file_bytes=10**9,
        intra_op_threads=1,
        pool=Pool(1),
        limits=LimitSettings(),
        inline_us=200,
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

    def lay_out_another(self: Any, folder: Path, make: Any, trials: Any, stop: Any) -> str | None:
        def make_another(source: Path | None, to: Path | None) -> Session:
            made: Session = make(source, to) if source is None else damaged(source.parent)
            return made

        return lay_out(self, folder, make_another, trials, stop)

    monkeypatch.setattr(shared_weights.SharedWeights, "_lay_out", lay_out_another)
    with loaded(store, shared) as version:
        assert version.weights.reason == "a copy in each worker: laid out, it answers differently"
    assert left_in(shared) == []


HOLD = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.engine.test_shared_weights import answer, loaded
shared = Path(sys.argv[2]) if sys.argv[2] else None
with loaded(Path(sys.argv[1]), shared) as version:
    print(answer(version).hex(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def processes(store: Path, shared: Path | None, count: int) -> Generator[list[subprocess.Popen[str]]]:
    """Processes that have loaded the version and answered; all at once."""
    command = [sys.executable, "-c", HOLD, str(store), "" if shared is None else str(shared)]
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
