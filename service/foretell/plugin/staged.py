"""A chain in steps: through all plugins down to the model, its run, and back through all of them.

Several requests that go through it together may share the step in the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from foretell.plugin.short_way import Opened
from foretell.prediction import PredictResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from foretell.plugin.concerns import Concern
    from foretell.plugin.short_way import ShortWay
    from foretell.prediction import PredictRequest, Respond

__all__ = ["Answer", "Passed", "StagedChain"]

Answer: TypeAlias = "PredictResponse | Awaitable[PredictResponse]"

Passed: TypeAlias = "list[Opened]"
"""The plugins that a request has passed on its way down, outermost first."""


class StagedChain:
    """The chain of a version around which every plugin has a shortcut.

    Args:
        layers: The layers, outermost first, each with the requests that concern it; None for all.
        end: What runs the version.
    """

    def __init__(self, layers: Sequence[tuple[ShortWay, Concern | None]], end: Respond) -> None:
        self._layers = tuple(layers)
        self._end = end

    def respond(self, request: PredictRequest) -> Answer:
        """Answer a request: all steps at once."""
        passed: Passed = []
        answer = self.enter(request, passed)
        return self.run(request, passed) if answer is None else answer

    def enter(self, request: PredictRequest, passed: Passed) -> Answer | None:
        """Go through the plugins.

        Args:
            request: The request.
            passed: Gets the plugins that are to hear of its answer.

        Returns:
            The answer, if a plugin has given one, or what is to be awaited for it; None if the model is to run: `run`,
            `leave` or `fail` is to follow.
        """
        for way, concern in self._layers:
            try:
                if concern is not None and not concern.has(request):
                    continue
                opened = way.open(request)
            except BaseException as error:  # noqa: BLE001 - it is raised again, unless a plugin answers in its place
                return self.fail(request, passed, error)
            if isinstance(opened, Opened):
                passed.append(opened)
            elif opened is not None:
                return self.leave(request, passed, opened)
        return None

    def run(self, request: PredictRequest, passed: Passed) -> Answer:
        """Run the model, and go back through the plugins."""
        try:
            answer = self._end(request)
        except BaseException as error:  # noqa: BLE001 - see above
            return self.fail(request, passed, error)
        return self.leave(request, passed, answer)

    def leave(self, request: PredictRequest, passed: Passed, answer: Answer) -> Answer:
        """Go back through the plugins with an answer."""
        while passed:
            opened = passed.pop()
            way = opened.way
            try:
                if type(answer) is PredictResponse:
                    answer = way.end(request, opened, answer)
                else:
                    answer = way.wait(request, opened, cast("Awaitable[PredictResponse]", answer))
            except BaseException as error:  # noqa: BLE001 - see above
                return self.fail(request, passed, error)
        return answer

    def fail(self, request: PredictRequest, passed: Passed, error: BaseException) -> Answer:
        """Go back through the plugins with a failure.

        Raises:
            BaseException: The failure, if none of them answers in its place.
        """
        while passed:
            opened = passed.pop()
            try:
                answer: Answer = opened.way.fail(request, opened, error)
            except BaseException as raised:  # noqa: BLE001 - see above
                error = raised
            else:
                return self.leave(request, passed, answer)
        try:
            raise error
        finally:
            del error  # it knows this frame
