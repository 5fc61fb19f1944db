"""loadtests/bench/contenders.py, cases.py and __main__.py: who is asked what"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtests.bench import cases, contenders
from loadtests.bench.__main__ import main
from loadtests.bench.cases import CASES
from loadtests.bench.contenders import CONTENDERS, QUICK
from loadtests.bench.models import NAMES
from tests.servers import ROOT

ENVIRONMENTS = {each.environment for each in CONTENDERS if each.environment}


def test_names_are_given_once_and_every_case_has_a_model() -> None:
    assert len({each.name for each in CONTENDERS}) == len(CONTENDERS)
    assert len({each.name for each in CASES}) == len(CASES)
    assert {each.model for each in CASES} == set(NAMES)


def test_one_contender_is_the_floor_and_it_takes_every_case() -> None:
    (floor,) = [each for each in CONTENDERS if each.floor]
    assert all(floor.takes(case) for case in CASES)


def test_every_contender_can_be_asked_in_its_cases() -> None:
    known = {case.name: case for case in CASES}
    for each in CONTENDERS:
        assert each.cases
        for name in each.cases:
            assert not each.dialects or known[name].encoding in each.dialects, each.name


def test_whoever_brings_requirements_does_the_forest() -> None:
    forest = {"breast_cancer-1", "breast_cancer-64", "breast_cancer-1024"}
    assert all(forest <= set(each.cases) for each in CONTENDERS if each.environment)


def test_every_environment_has_its_requirements_and_its_lock() -> None:
    listed = re.search(r"^BENCH_ENVIRONMENTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed
    assert set(listed[1].split()) == ENVIRONMENTS
    for name in ENVIRONMENTS:
        wanted = (ROOT / "requirements" / f"bench-{name}.in").read_text()
        lock = (ROOT / "requirements" / f"bench-{name}.txt").read_text()
        assert "--hash=sha256:" in lock
        assert "://" not in wanted + lock
        assert "--index" not in lock
        for requirement in re.findall(r"^[\w-]+", wanted, re.MULTILINE):
            assert re.search(rf"^{requirement}==", lock, re.MULTILINE), requirement


def test_all_locks_have_the_same_onnx_runtime_and_http_server() -> None:
    ours = (ROOT / "requirements" / "dev.txt").read_text()
    for name in ENVIRONMENTS:
        lock = (ROOT / "requirements" / f"bench-{name}.txt").read_text()
        for library in ("onnxruntime", "numpy", "scikit-learn", "uvicorn", "uvloop", "httptools"):
            theirs = re.search(rf"^{library}==\S+", lock, re.MULTILINE)
            assert theirs is None or f"\n{theirs[0]} " in ours, (name, library)


def test_the_floor_is_always_among_the_chosen() -> None:
    assert [each.name for each in contenders.choose(["mosec"])] == ["nothing", "mosec"]
    assert contenders.choose([]) == list(CONTENDERS)
    assert {each.name for each in contenders.choose(list(QUICK))} == set(QUICK)


def test_cases_are_chosen_by_name_and_asked_by_as_many_as_is_said() -> None:
    assert [case.connections for case in cases.choose(["heavy-1"], [])] == [(1, 32)]
    assert [case.connections for case in cases.choose(["iris-1", "heavy-1"], [4])] == [(4,), (4,)]
    assert cases.choose([], []) == list(CASES)


@pytest.mark.parametrize("flag", ["--cases", "--contenders"])
def test_an_unknown_name_is_refused_with_those_that_there_are(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag, "no-such"]) == 2
    told = capsys.readouterr().err
    assert "'no-such'" in told
    assert "there are" in told


def test_who_takes_no_part_in_what_is_asked_is_not_left_out_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--cases", "iris-1", "--contenders", "foretell", "bentoml"]) == 2
    told = capsys.readouterr().err
    assert "bentoml takes no part in what is asked; it does in breast_cancer-1" in told


def test_where_nothing_can_be_written_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert (
        main(["--cases", "iris-1", "--contenders", "foretell", "--out", str(tmp_path / "file" / "below")])
        == 2
    )
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--connections", "x"], ["--seconds", "0.1"], ["--rounds", "0"]])
def test_what_is_no_number_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert f"{words[1]} is not a whole number above 0" in capsys.readouterr().err


def test_the_list_names_every_case_and_contender(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(each.name in told for each in (*CASES, *CONTENDERS))
