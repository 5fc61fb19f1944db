"""``foretell plan`` shows how the CPUs are used and how each model is run."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.engine.test_batching import heavy_bytes
from tests.models import linear_model_bytes, scaled_bytes, write_version


def test_it_tells_numbers_reasons_and_how_each_model_runs(store: Path, run: Run) -> None:
    write_version(store, "quick", 1, scaled_bytes())
    write_version(store, "heavy", 1, heavy_bytes())
    write_version(store, "broken", 1, b"no model", manifest=False)
    out = run("plan", "--store", store, "--workers", "1", "--set", "engine.run_threads=3").out
    lines = out.splitlines()
    assert any(line.split()[:3] == ["run", "threads", "3"] and "engine.run_threads" in line for line in lines)
    quick = next(line for line in lines if line.startswith("quick"))
    assert "on the event loop" in quick
    assert "up to 16 rows on the event loop: its runs are short" in quick
    heavy = next(line for line in lines if line.startswith("heavy"))
    assert "times the rows a second" in heavy
    assert "FAILED" in next(line for line in lines if line.startswith("broken"))


def test_more_threads_than_cpus_are_told_of(store: Path, run: Run) -> None:
    write_version(store, "quick", 1, linear_model_bytes())
    ran = run("plan", "--store", store, "--set", "engine.run_threads=1000")
    assert "more threads can be busy than there are CPUs: 1000" in ran.err
