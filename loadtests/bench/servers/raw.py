"""The other floor: `session.run` in a loop, without a server.

    python raw.py MODEL ROWS.npy

Writes the outputs of each question to standard output, as a line of JSON. Then, for each line of seconds on standard
input, runs the questions in turn for so long, and writes what came of it.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from onnx_model import OnnxModel


def main() -> None:
    """Answer, then measure as often as asked."""
    model = OnnxModel(sys.argv[1])
    asked = list(np.load(sys.argv[2]).astype(model.dtype))
    for rows in asked:
        print(json.dumps(model.run_lists(rows)), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(model, asked, float(line))), flush=True)


def measure(model: OnnxModel, asked: list[np.ndarray], seconds: float) -> dict[str, float]:
    """Run for some seconds."""
    run, outputs, name = model.session.run, model.outputs, model.input
    feeds = [{name: rows} for rows in asked]
    took_ns: list[int] = []
    cpu = time.process_time()
    began = before = time.perf_counter_ns()
    until = began + int(seconds * 1e9)
    while before < until:
        run(outputs, feeds[len(took_ns) % len(feeds)])
        after = time.perf_counter_ns()
        took_ns.append(after - before)
        before = after
    cpu = time.process_time() - cpu
    p50, p99 = np.percentile(took_ns, (50, 99)) / 1000
    return {
        "per_s": len(took_ns) / (before - began) * 1e9,
        "p50_us": p50,
        "p99_us": p99,
        "cpu_us": cpu / len(took_ns) * 1e6,
    }


if __name__ == "__main__":
    main()
