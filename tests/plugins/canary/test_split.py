"""Every part is as great as its weight, and who is in it stays in it when weights rise."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.plugin import RequestRecord
from foretell_plugins.canary.draw import Draw, make_draw
from foretell_plugins.canary.split import Split

NAMES = ["candidate", "3", "old", "new", "7"]
KEYS = 100_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

places = st.floats(0, 100, exclude_max=True)
names = st.sampled_from(NAMES)


@st.composite
def weights(draw: st.DrawFn, most: int = len(NAMES)) -> dict[str, float]:
    chosen = draw(st.lists(names, unique=True, max_size=most))
    left = 100
    found: dict[str, float] = {}
    for name in chosen:
        found[name] = draw(st.integers(0, left))
        left -= int(found[name])
    return found


@st.composite
def raised(draw: st.DrawFn, most: int = len(NAMES)) -> tuple[dict[str, float], dict[str, float], str]:
    """Weights, and the same with one of them greater."""
    before = draw(weights(most).filter(bool))
    name = draw(st.sampled_from(sorted(before)))
    more = draw(st.integers(0, 100 - int(sum(before.values()))))
    return before, {**before, name: before[name] + more}, name


def record(*headers: tuple[bytes, bytes], request_id: str = "r1") -> RequestRecord:
    return RequestRecord(request_id, "native", 0, headers=headers)


def by_user(salt: str = "iris") -> Draw:
    return make_draw("header:X-User", salt, chance=pytest.fail)


def user(number: int) -> RequestRecord:
    return record((b"accept", b"*/*"), (b"x-user", b"user-%d" % number))


@given(weights(), places)
def test_only_who_is_listed_with_a_weight_has_a_part(weights: dict[str, float], place: float) -> None:
    whose = Split(weights).at(place)
    assert whose is None or weights[whose] > 0


@given(weights())
def test_parts_are_as_great_as_their_weights(weights: dict[str, float]) -> None:
    split = Split(weights)
    # Weights are whole here, so that each step of one per cent lies in one part.
    found = Counter(split.at(step + 0.5) for step in range(100))
    assert {name: found[name] for name in weights} == weights


@given(raised(), places)
def test_who_is_with_a_candidate_is_still_with_one_when_a_weight_has_risen(
    change: tuple[dict[str, float], dict[str, float], str], place: float
) -> None:
    before, after, name = change
    was, now = Split(before).at(place), Split(after).at(place)
    if was is not None:
        assert now is not None
    if was == name:
        assert now == name


@given(raised(most=2), places)
def test_of_two_candidates_neither_takes_anything_from_the_other(
    change: tuple[dict[str, float], dict[str, float], str], place: float
) -> None:
    before, after, name = change
    was, now = Split(before).at(place), Split(after).at(place)
    assert now == was or (was is None and now == name)


@given(weights(), places)
def test_the_order_in_which_weights_are_written_does_not_count(
    weights: dict[str, float], place: float
) -> None:
    assert Split(weights).at(place) == Split(dict(reversed(weights.items()))).at(place)


@pytest.mark.parametrize("salt", ["iris", "digits", ""])
def test_keys_are_spread_by_the_weights(salt: str) -> None:
    weights = {"candidate": 5.0, "3": 1.0, "old": 30.0}
    split, draw = Split(weights), by_user(salt)
    found = Counter(split.at(draw(user(number))) for number in range(KEYS))
    for name, weight in weights.items():
        fraction = weight / 100
        # Six standard deviations of a fair spread.
        assert abs(found[name] - KEYS * fraction) < 6 * math.sqrt(KEYS * fraction * (1 - fraction)), name


def test_two_salts_spread_keys_independently() -> None:
    split = Split({"a": 10})
    one, other = by_user("one"), by_user("other")
    both = sum(split.at(one(user(number))) == "a" == split.at(other(user(number))) for number in range(KEYS))
    assert abs(both - KEYS * 0.01) < 6 * math.sqrt(KEYS * 0.01 * 0.99)


@given(st.text(max_size=20), st.binary(min_size=1, max_size=40))
def test_the_same_key_has_the_same_place_every_time(salt: str, key: bytes) -> None:
    place = make_draw("header:x-user", salt)(record((b"x-user", key)))
    assert 0 <= place < 100
    assert place == make_draw("header:X-USER", salt)(record((b"x-user", key)))
    assert place == make_draw("header:x-user", salt)(record((b"x-user", b"earlier"), (b"x-user", key)))


def test_places_never_change_from_release_to_release() -> None:
    assert [round(by_user()(user(number)), 6) for number in range(3)] == [51.950607, 77.332646, 98.171878]


@given(st.sampled_from(["candidate", "champion"]), st.integers(0, 100), st.integers(0, 100))
def test_a_key_that_was_in_the_canary_stays_in_it(name: str, one: int, other: int) -> None:
    less, more = sorted((one, other))
    draw = by_user()
    for number in range(50):
        place = draw(user(number))
        if Split({name: less}).at(place) == name:
            assert Split({name: more}).at(place) == name


def test_all_requests_of_a_trace_go_the_same_way() -> None:
    draw = make_draw("traceparent", "iris", chance=pytest.fail)
    places = {
        draw(record((b"traceparent", f"00-{TRACE}-{span:016x}-{flags}".encode())))
        for span, flags in itertools.product(range(1, 20), ("00", "01"))
    }
    assert len(places) == 1
    assert draw(record((b"traceparent", f"00-{TRACE[::-1]}-{1:016x}-01".encode()))) not in places


def test_a_request_id_can_be_the_key() -> None:
    draw = make_draw("request-id", "iris", chance=pytest.fail)
    assert draw(record(request_id="a")) == draw(record(request_id="a")) != draw(record(request_id="b"))


@pytest.mark.parametrize("key", [None, "header:x-user", "traceparent"])
@pytest.mark.parametrize("headers", [(), ((b"x-user", b""), (b"traceparent", b"none"))], ids=["none", "bad"])
def test_without_a_key_chance_decides(key: str | None, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    drawn = iter([0.25, 0.75])
    draw = make_draw(key, "iris", chance=lambda: next(drawn))
    assert [draw(record(*headers)), draw(record(*headers))] == [25, 75]


def test_by_chance_the_parts_are_as_great_too() -> None:
    split, draw = Split({"a": 20}), make_draw(None, "iris", chance=random.Random(1).random)
    found = sum(split.at(draw(record())) == "a" for _ in range(10_000))
    assert abs(found - 2000) < 6 * math.sqrt(10_000 * 0.2 * 0.8)
