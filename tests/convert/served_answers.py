"""What a converted model answers when it is run as the server runs it."""

from __future__ import annotations

from typing import Any

from foretell.convert import Conversion
from foretell.convert.cells import is_missing, plain
from foretell.engine.session import Session
from foretell.parser import Parser
from foretell.tensors import Array


def answers(conversion: Conversion, rows: list[Any]) -> dict[str, Array]:
    """Send rows of JSON values through the server's parser and session."""
    parser = Parser(conversion.signature, max_rows=len(rows))
    tensors, _ = parser.tensors_of_rows(rows)
    return dict(Session(conversion.model).run(tensors))


def json_rows(table: Any) -> list[tuple[Any, ...]]:
    """The rows of an array or data frame as a client would write them."""
    import pandas as pd

    cells: list[list[Any]] = pd.DataFrame(table).astype(object).to_numpy().tolist()
    return [tuple(None if is_missing(value) else plain(value) for value in row) for row in cells]
