"""Which versions of a model are loaded, as ``load`` in model.toml decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Latest", "LoadPolicy", "chosen"]

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]


class Latest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest versions.

    Attributes:
        latest: How many of them.
    """

    latest: PositiveInt


LoadPolicy = Literal["all", "latest", "aliases"] | Latest | tuple[PositiveInt, ...]
"""All versions, the highest, those that aliases name, the highest few, or these. What `default` or an alias names is
loaded whatever the policy says, since it could not answer otherwise."""


def chosen(
    policy: LoadPolicy, numbers: Collection[int], *, named: Collection[int], refused: Collection[int]
) -> set[int]:
    """The versions that a policy asks for.

    Args:
        policy: The policy.
        numbers: The versions that exist.
        named: Those that `default` or an alias names.
        refused: Those that cannot serve: the highest is the highest that may.

    Returns:
        Versions that exist. One that was refused is among them where the policy asks for it first.
    """
    wanted = set(named) & set(numbers)
    if policy == "all":
        wanted |= set(numbers)
    elif isinstance(policy, tuple):
        wanted |= set(policy) & set(numbers)
    elif policy == "aliases":
        wanted |= set() if named else _highest(1, numbers, refused)
    else:
        wanted |= _highest(policy.latest if isinstance(policy, Latest) else 1, numbers, refused)
    return wanted


def _highest(count: int, numbers: Collection[int], refused: Collection[int]) -> set[int]:
    found: set[int] = set()
    for number in sorted(numbers, reverse=True):
        if count == 0:
            break
        found.add(number)
        count -= number not in refused
    return found
