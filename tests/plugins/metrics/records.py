"""Records of made-up requests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from foretell.errors import DeadlineError, NotFoundError, NotReadyError, QuotaExceededError, RunError
from foretell.prediction import RequestRecord

__all__ = ["PREDICT", "answered", "records"]

PREDICT = "/v1/models/{model}:predict"


def answered(**fields: Any) -> RequestRecord:
    """The record of a prediction that took 20 µs, or of another."""
    given: dict[str, Any] = {
        "request_id": "r",
        "protocol": "native",
        "started_ns": 1_000_000,
        "route": PREDICT,
        "model": "iris",
        "version": 1,
        "rows": 1,
        "status": 200,
        "decoded_ns": 1_009_000,
        "queued_ns": 1_009_500,
        "run_started_ns": 1_010_000,
        "run_ended_ns": 1_015_000,
        "predicted_ns": 1_016_000,
        "finished_ns": 1_020_000,
    }
    record = RequestRecord(**{**given, **fields})
    if record.run_ended_ns and "run_rows" not in fields:
        record.run_rows = record.rows
    return record


_FAILURES = {
    404: NotFoundError("nothing"),
    429: QuotaExceededError("later"),
    500: RunError("broken"),
    503: NotReadyError("not yet"),
    504: DeadlineError("too late"),
}
_SPAN_NS = st.one_of(
    st.sampled_from([0, 49_999, 50_000, 50_001, 10_000_000_000, 10_000_000_001]),
    st.integers(0, 20_000_000_000),
)


@st.composite
def records(draw: st.DrawFn) -> RequestRecord:
    """Any record that a server can leave: answered, refused, failed on the way."""
    status = draw(st.sampled_from([200, 200, 200, *_FAILURES]))
    times = [draw(st.integers(1, 2**50))]
    for _ in range(6):
        times.append(times[-1] + draw(_SPAN_NS))
    started, decoded, queued, run_started, run_ended, predicted, finished = times
    if status != 200:
        predicted = 0
        reached = draw(st.integers(0, 4))
        decoded, queued, run_started, run_ended = (
            time if reached > step else 0
            for step, time in enumerate((decoded, queued, run_started, run_ended))
        )
    elif draw(st.booleans()):  # a cache answered
        queued = run_started = run_ended = 0
    known = status not in {404, 429}
    degraded = draw(st.sampled_from([None, None, "error", "deadline"])) if status == 200 else None
    return answered(
        protocol=draw(st.sampled_from(["native", "simple"])),
        started_ns=started,
        decoded_ns=decoded,
        queued_ns=queued,
        run_started_ns=run_started,
        run_ended_ns=run_ended,
        predicted_ns=predicted,
        finished_ns=finished,
        model=draw(st.sampled_from(["iris", "digits"])) if known else "",
        version=draw(st.integers(1, 2)) if known else 0,
        rows=draw(st.integers(0, 10_000)) if decoded else 0,
        status=status,
        failure=_FAILURES.get(status),
        cache=draw(st.sampled_from([None, "hit", "miss", "coalesced", "bypass"])) if known else None,
        degraded=degraded,
        served_by="iris/1" if degraded else None,
        trace_id=draw(st.sampled_from([None, "4bf92f3577b34da6a3ce929d0e0e4736"])),
        span_id="00f067aa0ba902b7",
    )
