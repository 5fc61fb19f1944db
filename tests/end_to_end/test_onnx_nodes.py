"""Every case that ONNX tests its operators with, over the Open Inference Protocol V2: the answers are the runtime's own."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import onnx
import onnxruntime
import pytest

from foretell.tensors import Array
from tests.models import write_model_toml, write_version
from tests.onnx_nodes import NodeCase, Outcome, are_equal, node_cases, outcome_of
from tests.servers import RunningServer, Serve
from tests.v2_client import V2Client, Way

OBSTACLES: Final = {
    "": 1398,
    "a sequence of unknown length": 2,
    "no inputs": 1,
    "no run": 2,
    "no session": 369,
    "optional(seq(tensor(float)))": 3,
    "runs on zeros only": 1,
    "seq(tensor(float))": 14,
    "seq(tensor(int64))": 2,
    "tensor(bfloat16)": 4,
    "tensor(float8e4m3fn)": 12,
    "tensor(float8e4m3fnuz)": 12,
    "tensor(float8e5m2)": 12,
    "tensor(float8e5m2fnuz)": 12,
    "tensor(int2)": 10,
    "tensor(int4)": 10,
    "tensor(uint2)": 10,
    "tensor(uint4)": 10,
}
"""How many cases the protocol cannot be asked for what reason, and first how many it can, of the versions that are locked.

Another version of ONNX or of ONNX Runtime has other cases: then see what has become of them, and write that down here.
"""

RANDOM: Final = {
    "test_training_dropout",
    "test_training_dropout_default",
    "test_training_dropout_default_mask",
    "test_training_dropout_mask",
}
"""Of the cases that can be asked, those that are answered otherwise each time."""

REASONS: Final = {
    "no session": "ONNX Runtime refuses the model",
    "no run": "its warm-up run fails on zeros",
    "no inputs": "a model without inputs cannot be served",
    "a sequence of unknown length": "is a sequence, and the model does not run on zeros to show it",
}
"""What the server says of those that it does not serve; of the others, that it does not serve their type."""

CLIENTS: Final = 3
"""How many ask at the same time, so that models load while others answer."""


class Asked(NamedTuple):
    """A case, and what the server made of it.

    Attributes:
        case: The case.
        outcome: What the runtime by itself makes of it.
        statuses: The statuses of the answers.
        mistakes: What in the answers is not as in the outcome.
        reason: Why the server does not serve it; empty if it does.
    """

    case: NodeCase
    outcome: Outcome
    statuses: set[int]
    mistakes: list[str]
    reason: str


def mistake(outcome: Outcome, outputs: dict[str, Array]) -> str | None:
    """What is not as it should be."""
    if list(outputs) != list(outcome.outputs):
        return f"the outputs {list(outputs)} in place of {list(outcome.outputs)}"
    for name, expected in outcome.outputs.items():
        given = outputs[name]
        if (given.dtype, given.shape) != (expected.dtype, expected.shape):
            return f"{name}: {given.dtype}{given.shape} in place of {expected.dtype}{expected.shape}"
        if not outcome.random and not are_equal(given, expected):
            return f"{name}: {given!r} in place of {expected!r}"
    return None


def ask(client: V2Client, case: NodeCase, outcome: Outcome, ways: tuple[Way, ...]) -> Asked:
    """Ask the server for a case, in several ways."""
    statuses: set[int] = set()
    mistakes: list[str] = []
    for way in ways:
        status, outputs = client.infer(case.name, outcome.inputs, way)
        statuses.add(status)
        found = mistake(outcome, outputs) if status == 200 else None
        if found is not None:
            mistakes.append(f"{way}: {found}")
        if status == 503:  # so it is whatever it is asked
            break
    reason = ""
    if statuses != {200}:
        reason = client.get(f"/v1/models/{case.name}")["versions"][0].get("reason", "")
    return Asked(case, outcome, statuses, mistakes, reason)


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[NodeCase, Outcome]]:
    return [(case, outcome_of(case)) for case in node_cases()]


@pytest.fixture(scope="module")
def server(
    outcomes: list[tuple[NodeCase, Outcome]],
    shared_processes: Serve,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    """All models, each of which loads when it is asked."""
    store = tmp_path_factory.mktemp("nodes") / "model_store"
    for case, outcome in outcomes:
        write_version(store, case.name, 1, case.model, manifest=False)
        if not outcome.obstacle and not outcome.takes_zeros:
            write_model_toml(store, case.name, "warm_up = false\n")
    command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0"]
    for setting in ("engine.lazy=true", "store.follow=off", "plugins.enabled="):
        command += ["--set", setting]
    started = shared_processes(command, measured=False)
    yield started
    started.tell_to_stop()


@pytest.fixture(scope="module")
def asked(outcomes: list[tuple[NodeCase, Outcome]], server: RunningServer) -> list[Asked]:
    """Everything that was asked, and what came of it."""

    def ask_some(first: int) -> list[Asked]:
        with contextlib.closing(V2Client(server.url)) as client:
            return [
                ask(client, *outcomes[number], ("nested" if number % 2 else "flat", "binary"))
                for number in range(first, len(outcomes), CLIENTS)
            ]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [each for some in pool.map(ask_some, range(CLIENTS)) for each in some]


def test_no_case_is_left_out(outcomes: list[tuple[NodeCase, Outcome]], asked: list[Asked]) -> None:
    versions = f"of ONNX {onnx.__version__} and ONNX Runtime {onnxruntime.__version__}"
    assert Counter(outcome.obstacle for _, outcome in outcomes) == OBSTACLES, versions
    assert {case.name for case, outcome in outcomes if outcome.random} == RANDOM, versions
    assert sorted(each.case.name for each in asked) == sorted({case.name for case, _ in outcomes})


def test_every_answer_is_that_of_the_runtime_by_itself(asked: list[Asked]) -> None:
    able = [each for each in asked if not each.outcome.obstacle]
    assert [(each.case.name, each.statuses, each.reason) for each in able if each.statuses != {200}] == []
    assert [(each.case.name, each.mistakes) for each in able if each.mistakes] == []


def test_what_cannot_be_served_is_refused_with_its_reason(asked: list[Asked]) -> None:
    for each in asked:
        obstacle = each.outcome.obstacle
        if obstacle not in {"", "runs on zeros only"}:
            expected = REASONS.get(obstacle, f"has the type {obstacle}, which cannot be served")
            assert (each.case.name, each.statuses) == (each.case.name, {503})
            assert expected in each.reason, each.case.name


def test_only_a_run_that_fails_is_a_fault(asked: list[Asked], server: RunningServer) -> None:
    faults = {each.case.name for each in asked if each.statuses - {200, 503}}
    assert faults == {each.case.name for each in asked if each.outcome.obstacle == "runs on zeros only"}
    assert {line["model"] for line in server.events if "exception" in line} == faults
