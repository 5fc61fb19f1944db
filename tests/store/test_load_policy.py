"""Which versions a policy asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import ManifestError
from foretell.store.load_policy import Latest, LoadPolicy, chosen
from foretell.store.model_config import ModelConfig

NUMBERS = st.sets(st.integers(1, 12))
POLICIES = st.one_of(
    st.just("all"),
    st.just("latest"),
    st.just("aliases"),
    st.integers(1, 4).map(Latest),
    st.lists(st.integers(1, 12)).map(tuple),
)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", "all"),
        ('load = "all"', "all"),
        ('load = "latest"', "latest"),
        ("load = {latest = 2}", Latest(2)),
        ("load.latest = 2", Latest(2)),
        ('load = "aliases"', "aliases"),
        ("load = [1, 3]", (1, 3)),
        ("load = []", ()),
    ],
)
def test_it_is_read_from_model_toml(text: str, policy: LoadPolicy) -> None:
    assert ModelConfig.parse(text.encode(), "model.toml").load == policy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('load = "newest"', "load"),
        ("load = {latest = 0}", "load.latest"),
        ("load = {lates = 1}", "did you mean 'latest'"),
        ("load = {}", "load"),
        ("load = [0]", "load"),
        ("load = 3", "load"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        ModelConfig.parse(text.encode(), "model.toml")


@given(POLICIES, NUMBERS, NUMBERS, NUMBERS)
def test_it_asks_for_versions_that_exist_and_for_those_that_are_named(
    policy: LoadPolicy, numbers: set[int], named: set[int], refused: set[int]
) -> None:
    found = chosen(policy, numbers, named=named, refused=refused)
    assert named & numbers <= found <= numbers
    if policy == "all":
        assert found == numbers


@given(st.integers(1, 4), NUMBERS, NUMBERS)
def test_the_latest_are_so_many_that_may_serve(count: int, numbers: set[int], refused: set[int]) -> None:
    found = chosen(Latest(count), numbers, named=(), refused=refused)
    may = numbers - refused
    assert found - refused == set(sorted(may, reverse=True)[:count])


def test_without_aliases_the_highest_version_is_what_answers() -> None:
    assert chosen("aliases", {1, 2, 3}, named=(), refused={3}) == {2, 3}
    assert chosen("aliases", {1, 2, 3}, named={1}, refused=()) == {1}
    assert chosen("latest", (), named={1}, refused=()) == set()
