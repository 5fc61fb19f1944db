"""What is asked: which model, how many rows at a time, in which form, by how many callers."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["CASES", "Case", "Encoding", "choose"]

Encoding = Literal["json", "binary"]
CONNECTIONS: Final = (1, 16, 64)


class Case(msgspec.Struct, frozen=True):
    """One kind of question.

    Attributes:
        name: How it is called on the command line and in the table.
        model: The model.
        rows: Rows in a request.
        encoding: How rows are written: as JSON, or as tensors of the Open Inference Protocol's binary extension.
        connections: How many callers ask at once, each after its answer; one measurement for each number.
        different: How many different requests take turns.
    """

    name: str
    model: str
    rows: int
    encoding: Encoding = "json"
    connections: tuple[int, ...] = CONNECTIONS
    different: int = 64


CASES: Final = (
    Case("iris-1", "iris", 1),
    Case("breast_cancer-1", "breast_cancer", 1),
    Case("breast_cancer-64", "breast_cancer", 64, different=16),
    Case("breast_cancer-1024", "breast_cancer", 1024, different=4),
    Case("digits-1", "digits", 1),
    Case("heavy-1", "heavy", 1, connections=(1, 32)),
    Case("breast_cancer-1-binary", "breast_cancer", 1, encoding="binary"),
    Case("breast_cancer-64-binary", "breast_cancer", 64, encoding="binary", different=16),
    Case("breast_cancer-1024-binary", "breast_cancer", 1024, encoding="binary", different=4),
)


def choose(names: list[str], connections: list[int]) -> list[Case]:
    """The cases of some names, all if there are none; with other numbers of callers if there are any.

    Raises:
        ValueError: There is no such case.
    """
    known = {case.name: case for case in CASES}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no case {name!r}; there are {', '.join(known)}")
    chosen = [known[name] for name in names] if names else list(CASES)
    if connections:
        chosen = [msgspec.structs.replace(case, connections=tuple(connections)) for case in chosen]
    return chosen
