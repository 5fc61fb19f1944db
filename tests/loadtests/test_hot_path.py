"""A prediction costs no more than when its cost was recorded, counted so that no machine's mood has a part in it."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from loadtests.hot_path import ROOT, Cost, recorded

MORE = 1.05
"""By how much a figure may be greater than the recorded one."""

COUNT = """
import msgspec, sys, uvloop
from loadtests.hot_path import cost_of_one
sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(cost_of_one())))
"""


def test_a_prediction_costs_no_more_than_before() -> None:
    known = recorded()
    if known is None:
        pytest.skip("nothing is recorded for this release of Python: python loadtests/hot_path.py --record")
    # In a process of its own, where nobody else traces, and of which no line need be measured.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    counted = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=ROOT, env=environ, capture_output=True, check=True, timeout=300
    )
    found = _costs(counted.stdout)
    assert found.keys() == known.keys()
    dearer = {
        name: (known[name], cost)
        for name, cost in found.items()
        if cost.calls > known[name].calls * MORE or cost.bytecodes > known[name].bytecodes * MORE
    }
    assert dearer == {}, (
        "python loadtests/hot_path.py tells what a request costs; --record keeps what has its reason"
    )


def _costs(text: bytes) -> dict[str, Cost]:
    return msgspec.json.decode(text, type=dict[str, Cost])
