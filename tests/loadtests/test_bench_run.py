"""A short run of the bench on real servers; what is asserted is what was measured, never how fast it was."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtests.bench import cases, contenders, turn
from loadtests.bench.__main__ import main
from loadtests.bench.answers import Asked, check
from loadtests.bench.contender import Contender
from loadtests.bench.dialects import PLAIN, V2
from loadtests.bench.load import Load, Wrk
from loadtests.bench.models import prepare
from loadtests.bench.process import cores
from loadtests.bench.receiver import Receiver
from loadtests.bench.results import FIGURES, Failure, Results, Sample
from loadtests.bench.turn import Turn
from loadtests.ports import free_port
from tests.system import require_program


def test_the_floor_and_foretell_are_verified_measured_and_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_program("wrk")
    verified: list[list[str]] = []

    def watched(outputs: dict[str, np.ndarray], asked: Asked) -> None:
        check(outputs, asked)
        verified.append([source for source, truth in asked.truths.items() if truth])

    monkeypatch.setattr(turn, "check", watched)
    options = ["--cases", "iris-1", "--contenders", "foretell", "--connections", "2"]
    status = main([*options, "--rounds", "1", "--seconds", "1", "--out", str(tmp_path)])
    told = capsys.readouterr()
    assert status == 0, told.err
    found = msgspec.json.decode((tmp_path / "results.json").read_bytes(), type=Results)
    assert found.failures == []
    assert [(each.contender, each.case, each.connections, each.round) for each in found.samples] == [
        ("nothing", "iris-1", 2, 1),
        ("foretell", "iris-1", 2, 1),
    ]
    for each in found.samples:
        assert all(getattr(each, figure) > 0 for figure in FIGURES)
        assert each.p50_us <= each.p99_us
    # The first answer, each question, and one after the warm-up and after the load.
    assert verified.count(["session.run"]) == turn.CHECKED + 3
    assert {"cpu", "date", "commit", "python"} <= found.machine.keys()
    assert {"onnxruntime", "uvicorn", "msgspec"} <= found.contenders[1].releases.keys()
    assert (tmp_path / "table.md").read_text() == told.out[:-1]
    assert "| iris-1 | 2 | foretell |" in told.out
    assert ET.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")  # noqa: S314 - the bench made it


@pytest.mark.parametrize(
    ("answers", "callers", "reason"),
    [(64, 64, None), (63, 64, "63 answers for 64 callers in 2 s")],
    ids=["one-each", "less"],
)
def test_fewer_answers_than_callers_are_no_measurement(
    answers: int, callers: int, reason: str | None
) -> None:
    assert turn.too_few(Load(answers, 2_000_000, 1, 2, 3, {}), callers) == reason


def take(contender: Contender, folder: Path) -> list[Sample | Failure]:
    """One turn of a contender with the iris model."""
    told: list[str] = []
    for name in ("model", "wrk", "own", "receiver"):
        (folder / name).mkdir()
    with Receiver(folder / "receiver", cores()[1], free_port()) as receiver:
        return list(
            Turn(
                contender,
                cases.choose(["iris-1"], [1])[0],
                1,
                prepare("iris", folder / "model"),
                Path(sys.executable),
                folder / "own",
                cores()[0],
                1,
                Wrk(folder / "wrk", cores()[1]),
                receiver,
                "here",
                told.append,
            ).take()
        )


def test_who_stops_it_keeps_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_program("wrk")
    take = Turn.take

    def stopped_at_foretell(self: Turn) -> Iterator[Sample | Failure]:
        if self.contender.name == "foretell":
            raise KeyboardInterrupt
        return take(self)

    monkeypatch.setattr(Turn, "take", stopped_at_foretell)
    options = ["--cases", "iris-1", "--contenders", "foretell", "--connections", "1"]
    assert main([*options, "--rounds", "1", "--seconds", "1", "--out", str(tmp_path)]) == 1
    assert "It was stopped before its end." in capsys.readouterr().out
    found = msgspec.json.decode((tmp_path / "results.json").read_bytes(), type=Results)
    assert [each.contender for each in found.samples] == ["nothing"]
    assert found.was_stopped


def test_spans_of_who_traces_must_arrive(tmp_path: Path) -> None:
    require_program("wrk")
    _, bare, tracing = contenders.choose(["foretell", "foretell-tracing"])
    (sample,) = take(tracing, tmp_path)
    assert isinstance(sample, Sample)
    (tmp_path / "again").mkdir()
    (failure,) = take(bare._replace(traces=True), tmp_path / "again")
    assert isinstance(failure, Failure)
    assert failure.reason == "none of its spans arrived"


def test_a_contender_that_answers_wrongly_is_not_measured(tmp_path: Path) -> None:
    require_program("wrk")
    (floor,) = contenders.choose(["nothing"])
    (failure,) = take(floor._replace(name="liar", floor=False, dialects={"json": PLAIN}), tmp_path)
    assert isinstance(failure, Failure)
    assert failure.reason == "outputs [], where session.run has ['label', 'probabilities']"
    assert failure.connections == 0


def test_an_answer_of_another_form_is_a_wrong_one(tmp_path: Path) -> None:
    require_program("wrk")
    (floor,) = contenders.choose(["nothing"])
    (failure,) = take(floor._replace(floor=False, dialects={"json": V2}), tmp_path)
    assert isinstance(failure, Failure)
    assert failure.reason == "cannot read b'{}': KeyError('outputs')"


def test_a_contender_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    require_program("wrk")
    (floor,) = contenders.choose(["nothing"])
    broken = contenders.uvicorn("no_such_application:app")
    (failure,) = take(floor._replace(start=broken), tmp_path)
    assert isinstance(failure, Failure)
    assert "before it answered" in failure.reason
    assert "no_such_application" in failure.reason


def test_the_loop_without_a_server_is_checked_and_measured(tmp_path: Path) -> None:
    require_program("wrk")
    (_, loop) = contenders.choose(["session.run"])
    (sample,) = take(loop, tmp_path)
    assert isinstance(sample, Sample), sample
    assert all(getattr(sample, figure) > 0 for figure in FIGURES)
