from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from foretell_plugins.tracing.sampling import SamplerName, make_decide

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
ratios = st.floats(0, 1)
trace_ids = st.integers(1, (1 << 128) - 1)


def headers(flags: str, trace_id: int = TRACE) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"h"), (b"traceparent", f"00-{trace_id:032x}-b7ad6b7169203331-{flags}".encode())]


def sdk_samples(ratio: float, trace_id: int) -> bool:
    result = TraceIdRatioBased(ratio).should_sample(None, trace_id, "s")
    return result.decision is Decision.RECORD_AND_SAMPLE


@given(ratios, trace_ids, st.sampled_from(["00", "01"]))
def test_a_ratio_takes_the_traces_that_the_sdk_takes(ratio: float, trace_id: int, flags: str) -> None:
    decide = make_decide("traceidratio", ratio, Random(0), heeds_callers=True)
    assert (decide(headers(flags, trace_id)) is not None) == sdk_samples(ratio, trace_id)


@given(ratios, st.integers())
def test_a_trace_that_begins_here_is_sampled_downstream_too(ratio: float, seed: int) -> None:
    decide = make_decide("parentbased_traceidratio", ratio, Random(seed), heeds_callers=True)
    for _ in range(20):
        place = decide([])
        if place is not None:
            assert place.span_id == 0
            assert place.flags == 1
            assert sdk_samples(ratio, place.trace_id)


def test_a_ratio_takes_its_share() -> None:
    decide = make_decide("parentbased_traceidratio", 0.1, Random(5), heeds_callers=True)
    taken = [place.trace_id for _ in range(20_000) if (place := decide([])) is not None]
    assert len(taken) == pytest.approx(2000, abs=200)
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize(
    ("sampler", "alone", "unsampled", "sampled"),
    [
        ("always_on", True, True, True),
        ("always_off", False, False, False),
        ("parentbased_always_on", True, False, True),
        ("parentbased_always_off", False, False, True),
    ],
)
def test_each_sampler_heeds_what_it_should(
    sampler: SamplerName, alone: bool, unsampled: bool, sampled: bool
) -> None:
    decide = make_decide(sampler, 1.0, Random(1), heeds_callers=True)
    assert [decide(each) is not None for each in ([], headers("00"), headers("01"))] == [
        alone,
        unsampled,
        sampled,
    ]


def test_a_later_version_that_is_unsampled_is_unsampled() -> None:
    decide = make_decide("parentbased_always_on", 1.0, Random(1), heeds_callers=True)
    value = f"01-{TRACE:032x}-b7ad6b7169203331-00-more".encode()
    assert decide([(b"traceparent", value)]) is None


def test_a_sampled_caller_is_followed_with_its_flags() -> None:
    decide = make_decide("parentbased_always_on", 1.0, Random(1), heeds_callers=True)
    assert decide(headers("03")) == (TRACE, 0xB7AD6B7169203331, 3)


@pytest.mark.parametrize("sampler", ["parentbased_always_on", "always_on", "parentbased_traceidratio"])
def test_a_malformed_header_begins_a_trace(sampler: SamplerName) -> None:
    decide = make_decide(sampler, 1.0, Random(1), heeds_callers=True)
    place = decide([(b"traceparent", b"00-zz")])
    assert place is not None
    assert place.span_id == 0


def test_callers_can_be_left_unheard() -> None:
    decide = make_decide("parentbased_always_on", 1.0, Random(1), heeds_callers=False)
    place = decide(headers("00"))
    assert place is not None
    assert place.trace_id != TRACE
