"""Predictions that share a run: the run itself, and how each of them goes on with its part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from foretell.http.going import Going
    from foretell.plugin.staged import StagedChain
    from foretell.prediction import PredictResponse
    from foretell.protocols.endpoint import Endpoint

__all__ = ["rest_of", "run_together"]


def run_together(goings: Sequence[Going]) -> None:
    """Run the models of those predictions that may share a run; `Core.run` is to follow for all of them."""
    groups: dict[Endpoint, list[Going]] = {}
    for going in goings:
        is_answered = going.outcome is not None or going.response is not None
        if not is_answered and going.endpoint.respond_together is not None:
            groups.setdefault(going.endpoint, []).append(going)
    for endpoint, group in groups.items():
        together = endpoint.respond_together
        if len(group) == 1 or together is None:
            continue
        try:
            responses: Sequence[PredictResponse | Exception | None] = together(
                [each.request for each in group]
            )
        except Exception as error:  # noqa: BLE001 - it is raised where each of them is answered
            responses = [error] * len(group)
        for going, response in zip(group, responses, strict=True):
            going.ran = response


def rest_of(going: Going) -> PredictResponse | Awaitable[PredictResponse]:
    """What is left of a prediction that has passed the plugins, or has shared a run.

    Raises:
        Exception: What the run raised, if no plugin answers in its place.
    """
    request, passed, ran = going.request, going.passed, going.ran
    if passed is None:
        going.record.rows = request.rows
        if isinstance(ran, Exception):
            raise ran
        return cast("PredictResponse", ran)
    chain: StagedChain = going.endpoint.staged
    if ran is None:
        return chain.run(request, passed)
    return (
        chain.fail(request, passed, ran) if isinstance(ran, Exception) else chain.leave(request, passed, ran)
    )
