"""loadtests/bench/load.py"""

from __future__ import annotations

import pytest

from loadtests.bench.load import Load, LoadError, parse

FIGURES = (
    '{"requests":1200,"duration_us":2000000,"p50_us":150,"p99_us":900,"max_us":1500,'
    '"errors":{"connect":0,"read":0,"write":0,"status":0,"timeout":0}}'
)
PRINTED = f"""Running 2s test @ http://127.0.0.1:8000
  1 threads and 16 connections
  Latency Distribution
     50%  150.00us
  1200 requests in 2.00s, 1.00MB read
Requests/sec:    600.00
{FIGURES}
"""


def load(requests: int = 10, **errors: int) -> Load:
    return Load(requests, 1_000_000, 1, 2, 3, {"status": 0, "read": 0, **errors})


def test_what_the_script_prints_is_read() -> None:
    found = parse(PRINTED)
    assert (found.requests, found.p50_us, found.p99_us, found.max_us) == (1200, 150, 900, 1500)
    assert found.per_s == 600
    assert found.fault is None


@pytest.mark.parametrize(
    "printed",
    ["", "Running 2s test\n", PRINTED.replace("p99_us", "p98_us"), PRINTED.replace("1200,", "1200.5,")],
    ids=["nothing", "no-figures", "another-figure", "another-type"],
)
def test_what_has_no_figures_is_refused(printed: str) -> None:
    with pytest.raises(LoadError, match="wrk"):
        parse(printed)


def test_errors_under_load_spoil_a_measurement_and_are_named() -> None:
    assert load(status=3, read=1).fault == "errors under load: 3 status, 1 read"


def test_a_measurement_without_answers_is_none() -> None:
    assert load(requests=0).fault == "not one request was answered"
