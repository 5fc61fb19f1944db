"""Thresholds are rounded so that every comparison goes the way it went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.convert.trees import Trees, float32_at_most, float64_at_most

finite = st.floats(min_value=-3e38, max_value=3e38, allow_nan=False)


@given(finite, finite)
def test_any_float32_compares_alike(threshold: float, value: float) -> None:
    single = np.float32(value)
    rounded = float32_at_most(np.array([threshold]))[0]
    assert (single <= rounded) == (float(single) <= threshold)


@given(finite, st.integers(-3, 3))
def test_float32_neighbours_of_the_threshold_compare_alike(threshold: float, steps: int) -> None:
    single = np.float32(threshold)
    for _ in range(abs(steps)):
        single = np.nextafter(single, np.float32(np.inf if steps > 0 else -np.inf))
    rounded = float32_at_most(np.array([threshold]))[0]
    assert (single <= rounded) == (float(single) <= threshold)


@given(finite, finite)
def test_any_float64_compares_as_its_float32_does(threshold: float, value: float) -> None:
    wide = float64_at_most(np.array([threshold]))[0]
    assert (value <= wide) == (float(np.float32(value)) <= threshold)


@given(finite, st.integers(-3, 3))
def test_float64_neighbours_of_the_result_compare_as_their_float32_does(threshold: float, steps: int) -> None:
    wide = float64_at_most(np.array([threshold]))[0]
    value = wide
    for _ in range(abs(steps)):
        value = np.nextafter(value, np.inf if steps > 0 else -np.inf)
    assert (value <= wide) == (float(np.float32(value)) <= threshold)


@pytest.mark.parametrize("threshold", [0.0, -0.0, 1.0, 0.1, -0.1, 16777217.0, 1e-46, -1e-46, 0.5 + 2**-25])
def test_the_known_hard_ones_do_too(threshold: float) -> None:
    single = float32_at_most(np.array([threshold]))[0]
    assert float(single) <= threshold < float(np.nextafter(single, np.float32(np.inf)))
    wide = float64_at_most(np.array([threshold]))[0]
    assert float(np.float32(wide)) <= threshold < float(np.float32(np.nextafter(wide, np.inf)))


def test_trees_are_numbered_in_the_order_they_are_added() -> None:
    trees = Trees()
    trees.add_constant(np.array([1.0]))
    trees.add_constant(np.array([2.0, 3.0]), first_target=1)
    attributes = trees.attributes("class")
    assert attributes["nodes_treeids"] == [0, 1]
    assert attributes["class_treeids"] == [0, 1, 1]
    assert attributes["class_ids"] == [0, 1, 2]
    assert attributes["nodes_modes"] == ["LEAF", "LEAF"]
    assert trees.only_nonnegative
