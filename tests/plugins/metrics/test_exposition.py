from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.plugin import Instrument
from foretell_plugins.metrics.exposition import Exposition
from foretell_plugins.metrics.families import families_of
from foretell_plugins.metrics.journal import Journal, in_memory
from foretell_plugins.metrics.state import State
from tests.plugin.chains import info
from tests.plugins.metrics.records import answered
from tests.plugins.metrics.samples import OPEN_METRICS, Scrape

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def scrape(journal: Journal, state: State | None = None, accept: str = "") -> Scrape:
    families = families_of(journal.read(), state or State(), [info("iris")])
    body, media_type = Exposition().write(families, accept)
    is_open = media_type.startswith("application/openmetrics-text")
    assert is_open == (accept == OPEN_METRICS)
    return Scrape(body.decode(), is_open=is_open)


@given(st.text(), st.sampled_from(["", OPEN_METRICS]))
def test_any_text_can_be_the_value_of_a_label(text: str, accept: str) -> None:
    instrument = Instrument("texts_total", "counter", "x", [({"text": text}, 3)])
    found = scrape(in_memory(10), State(instruments=[instrument]), accept)
    assert found.labels("texts_total") == {(("text", text),)}


@pytest.mark.parametrize("accept", ["", "text/plain", OPEN_METRICS], ids=["any", "plain", "open"])
def test_the_buckets_of_a_histogram_are_cumulative(accept: str) -> None:
    journal = in_memory(10)
    for span_us in (10, 50, 51, 99, 20_000_000):
        journal.append(answered(finished_ns=1_000_000 + span_us * 1000))
    found = scrape(journal, accept=accept)
    name = "foretell_request_duration_seconds"
    bounds = ("5e-05", "0.0001", "0.00025", "10.0", "+Inf")
    assert [found.sum(f"{name}_bucket", le=bound) for bound in bounds] == [2, 4, 4, 4, 5]
    assert found.sum(f"{name}_count") == 5
    assert found.sum(f"{name}_sum") == pytest.approx(20.00021)


def test_exemplars_carry_the_trace_in_open_metrics_and_stand_in_no_other_format() -> None:
    journal = in_memory(10)
    journal.append(answered(trace_id=TRACE, span_id=SPAN))
    journal.append(answered(finished_ns=2_000_000))
    found = scrape(journal, accept=OPEN_METRICS)
    exemplars = {sample.labels["le"]: sample.exemplar for sample in found.samples if sample.exemplar}
    assert list(exemplars) == ["5e-05"]
    assert exemplars["5e-05"].labels == {"trace_id": TRACE, "span_id": SPAN}
    assert exemplars["5e-05"].value == pytest.approx(2e-5)
    assert not any(sample.exemplar for sample in scrape(journal).samples)


def test_of_two_kinds_of_requests_in_a_bucket_the_later_one_is_shown() -> None:
    journal = in_memory(10)
    for number in (2, 3, 1):
        at = number * 1_000_000_000
        journal.append(
            answered(version=number, started_ns=at, finished_ns=at + 1000, trace_id=f"{number:032x}")
        )
    found = scrape(journal, accept=OPEN_METRICS)
    (exemplar,) = [sample.exemplar for sample in found.samples if sample.exemplar]
    assert exemplar.labels == {"trace_id": f"{3:032x}"}


def test_counts_of_caches_fallbacks_and_refusals() -> None:
    from foretell.errors import NotReadyError

    journal = in_memory(100)
    for cache in ("hit", "hit", "miss", "coalesced", "bypass"):
        journal.append(answered(cache=cache))
    journal.append(answered(degraded="deadline", served_by="iris/2"))
    journal.append(answered(status=503, failure=NotReadyError("x"), rows=0, run_started_ns=0, run_ended_ns=0))
    journal.append(answered(method="GET", route="/v1/models", model="", version=0))
    found = scrape(journal)
    assert found.sum("foretell_cache_hits_total", model="iris") == 2
    assert found.sum("foretell_cache_misses_total", model="iris") == 1
    assert found.sum("foretell_cache_coalesced_total", model="iris") == 1
    assert found.sum("foretell_fallback_total", model="iris", reason="deadline", target="iris/2") == 1
    assert found.sum("foretell_rejected_total", reason="not_ready") == 1
    assert found.sum("foretell_requests_total") == 7
    assert found.sum("foretell_requests_total", outcome="degraded") == 1
    assert found.sum("foretell_rows_total", model="iris", version="1") == 6
    assert found.sum("foretell_batch_rows_count", model="iris") == 6


def test_an_instrument_of_a_plugin_cannot_take_the_place_of_foretells() -> None:
    given = [
        Instrument("foretell_requests_total", "counter", "x", [({}, 99)]),
        Instrument("mine", "gauge", "x", []),
        Instrument("other", "gauge", "x", [({}, 1.5)]),
    ]
    found = scrape(in_memory(10), State(instruments=given))
    assert found.sum("foretell_requests_total") == 0
    assert found.sum("other") == 1.5


def test_the_state_and_the_models_are_shown() -> None:
    found = scrape(in_memory(10), State(4, {"cache": 2}))
    assert found.sum("foretell_in_flight") == 4
    assert found.sum("foretell_plugin_errors_total", plugin="cache") == 2
    assert found.sum("foretell_model_info", model="iris", version="1", digest="d1", task="other") == 1
    assert found.sum("process_open_fds") > 0
    assert found.sum("python_info") == 1


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=abc",
        "application/openmetrics-text; version=1.0.0; escaping",
        "text/plain; version=zzz; escaping=",
        "application/openmetrics-text;version=",
        ";;;,,,",
    ],
)
def test_whatever_a_scraper_accepts_it_gets_one_of_the_formats(accept: str) -> None:
    body, media_type = Exposition().write(families_of(in_memory(10).read(), State(), []), accept)
    assert media_type.startswith(("text/plain; version=", "application/openmetrics-text; version="))
    assert b"foretell_in_flight 0.0" in body
