"""Makes the questions of a load test, and has the oracle answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from foretell.loadtest.forms import FORMS
from foretell.loadtest.oracle import Oracle, RefusedError
from foretell.loadtest.question import Question, request_bytes
from foretell.loadtest.rows import Rows
from foretell.parser import Parser
from foretell.store.catalog import scan

__all__ = ["Kind", "make_questions"]

Kind = tuple[str, str, int]
"""What questions have in common: a form of `FORMS`, a model, and a number of rows."""


async def make_questions(
    stores: Sequence[Path],
    *,
    protocols: Sequence[str],
    rows: Sequence[int],
    distinct: int,
    seed: int,
    models: Sequence[str] = (),
    default_model: str | None = None,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[dict[Kind, list[Question]], dict[str, str]]:
    """Questions to the default version of each model of a store, in each form and of each size that it can be asked in.

    Args:
        stores: The store, and others that its models may come from: what each answers is right.
        protocols: Which of `FORMS`.
        rows: How many rows questions have.
        distinct: How many questions there are of each kind.
        seed: Where chance begins: the same seed makes the same questions.
        models: Which models; all if there are none.
        default_model: See `Oracle.opened`.
        told: Is told how many kinds of how many are done.

    Returns:
        The questions, by kind, and the models that cannot be asked, with the reason.

    Raises:
        ForetellError: The store cannot be served.
    """
    made: dict[Kind, list[Question]] = {}
    skipped: dict[str, str] = {}
    held = [scan(store) for store in stores]
    async with AsyncExitStack() as stack:
        first, *others = [
            await stack.enter_async_context(Oracle.opened(store, default_model)) for store in stores
        ]
        asked = {
            model: [
                first,
                *(oracle for oracle, found in zip(others, held[1:], strict=True) if model in found),
            ]
            for model in models or held[0]
        }
        kinds = [
            (protocol, model, size)
            for model in asked
            for protocol in protocols
            for size in rows
            if (size == 1 or not FORMS[protocol].one_row)
            and (default_model == model or not FORMS[protocol].default_model)
        ]
        for done, (protocol, model, size) in enumerate(kinds):
            told(done, len(kinds))
            if model in skipped:
                continue
            chance = Random(f"{seed} {model} {size}")  # noqa: S311 - no secret
            try:
                made[protocol, model, size] = await _ask(
                    asked[model], protocol, model, size, distinct, chance
                )
            except (RefusedError, ValueError) as error:
                skipped[model] = str(error)
        told(len(kinds), len(kinds))
    return made, skipped


async def _ask(
    oracles: Sequence[Oracle], protocol: str, model: str, size: int, distinct: int, chance: Random
) -> list[Question]:
    signature = await oracles[0].signature(model)
    drawn, parser, form = Rows(signature, chance), Parser(signature, max_rows=size), FORMS[protocol]
    questions: list[Question] = []
    for number in range(distinct):
        request = form.make(model, parser, [drawn.draw() for _ in range(size)])
        request_id = f"load-{number}"
        right = dict.fromkeys([await oracle.answer(request, request_id) for oracle in oracles])
        sent = request_bytes(request.path, {**request.headers, "X-Request-ID": request_id}, request.body)
        questions.append(Question(protocol, model, size, sent, tuple(right)))
    return questions
