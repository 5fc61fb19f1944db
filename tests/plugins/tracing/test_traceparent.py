from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from foretell_plugins.tracing.traceparent import Parent, parent_of, parse_traceparent, says_unsampled

VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

hexadecimal = st.text("0123456789abcdef", min_size=2, max_size=2)
well_formed = st.builds(
    "{}{}-{}-{}-{}{}{}".format,
    st.sampled_from(["", "", " ", "\t "]),
    st.one_of(st.just("00"), st.sampled_from(["01", "ff", "cc"]), hexadecimal),
    st.one_of(st.just("0" * 32), st.text("0123456789abcdef", min_size=32, max_size=32)),
    st.one_of(st.just("0" * 16), st.text("0123456789abcdef", min_size=16, max_size=16)),
    hexadecimal,
    st.sampled_from(["", "", "-", "-more", "-" + "x" * 500, ".", "0"]),
    st.sampled_from(["", "", " ", " \t"]),
)
characters = st.characters(min_codepoint=32, max_codepoint=255)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A header with one character replaced, left out or put in."""
    text = draw(well_formed)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(characters, max_size=2)) + text[at + draw(st.integers(0, 2)) :]


@given(st.one_of(well_formed, damaged(), st.text(characters, max_size=60)))
def test_a_header_says_what_opentelemetrys_own_parser_reads(text: str) -> None:
    context = TraceContextTextMapPropagator().extract({"traceparent": text})
    reference = trace.get_current_span(context).get_span_context()

    parent = parse_traceparent(text.encode("latin-1"))

    if reference.is_valid:
        assert parent == (reference.trace_id, reference.span_id, reference.trace_flags)
    else:
        assert parent is None


@given(st.one_of(well_formed, damaged()))
def test_the_short_cut_never_contradicts_the_parser(text: str) -> None:
    value = text.encode("latin-1")
    if says_unsampled(value):
        parent = parse_traceparent(value)
        assert parent is not None
        assert not parent.flags & 1


def test_the_short_cut_takes_the_usual_form() -> None:
    assert says_unsampled(VALID[:-1].encode() + b"0")
    assert not says_unsampled(VALID.encode())


@pytest.mark.parametrize(
    ("headers", "parent"),
    [
        ([], None),
        (
            [(b"traceparent", VALID.encode())],
            Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, 1),
        ),
        ([(b"traceparent", VALID.encode()), (b"traceparent", VALID.encode())], None),
        ([(b"traceparent", VALID.upper().encode())], None),
        ([(b"tracestate", b"a=b")], None),
    ],
    ids=["none", "one", "two", "upper case", "state alone"],
)
def test_one_valid_header_counts(headers: list[tuple[bytes, bytes]], parent: Parent | None) -> None:
    assert parent_of(headers) == parent
