"""A short way through a plugin, in plain functions, for what nearly always happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest, PredictResponse

__all__ = ["Shortcut"]

B = TypeVar("B")


class Shortcut(Generic[B]):
    """Goes around the predictions of a version in plain functions, and in an async one only where it has to wait.

    `Plugin.wrap_predict` may return one in place of an async function. It costs a third of that, since it is foretell
    that calls on: `begin` is called before, and `end` or `failed` after. What cannot be done at once is left to the
    long way, `__call__`. B is whatever `begin` has to tell `end`; None is not among it.

    Attributes:
        limited_by: Where what `limit_s` gives comes from, for the message when it is over.
    """

    limited_by: ClassVar[str] = "limit_s of a plugin"

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        """Go around a prediction the long way: as the async function that `wrap_predict` may return, calling on itself.

        It need not be there where `begin` never gives None.
        """
        del request
        raise NotImplementedError("begin gave None, and the shortcut has no long way: define async __call__")

    def begin(self, request: PredictRequest) -> B | PredictResponse | None:
        """Before the prediction, at once.

        Returns:
            What `end` or `failed` is to be given, and foretell calls on; a response, which is the answer, and nothing
            else is called; or None, so that the request goes the long way.
        """
        raise NotImplementedError

    def end(self, request: PredictRequest, begun: B, response: PredictResponse) -> None:
        """After an answer, at once."""

    def failed(self, request: PredictRequest, begun: B, error: BaseException) -> bool:
        """After a failure, or when the caller has gone away (`asyncio.CancelledError`), at once.

        Returns:
            Whether `recover` is to answer in its place; what is no `Exception` is raised all the same.
        """
        del request, begun, error
        return False

    async def recover(self, request: PredictRequest, begun: B, error: Exception) -> PredictResponse:
        """Answer in place of what failed, or raise.

        Raises:
            Exception: The failure itself, or another.
        """
        del request, begun
        raise error

    def limit_s(self, request: PredictRequest) -> float | None:
        """How long what is called on may take from now on, where it does not answer at once, seconds; None for ever.

        When that is over, what is called on is cancelled, and a `DeadlineError` is the failure.
        """
        del request
        return None
