"""The path on which MLflow, SageMaker and Vertex AI ask for predictions, wherever they want it to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from foretell.errors import NotFoundError
from foretell.http.routes import Question, Route
from foretell.protocols.endpoint import INVOCATIONS

if TYPE_CHECKING:
    from foretell.prediction import Headers

__all__ = ["InvocationsRouting", "invocation"]

_TARGET_MODEL: Final = b"x-amzn-sagemaker-target-model"
_ARCHIVE: Final = ".tar.gz"
_BAD_REQUEST: Final = 400


class InvocationsRouting:
    """One path on which the default model predicts, or the one that a header of SageMaker's names; see `Routing`.

    Args:
        template: The path, as it is documented.
    """

    protocol = INVOCATIONS
    has_paths_below = False

    def __init__(self, template: str) -> None:
        self._template = template

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """See `Routing`."""
        del rest
        target = next((value for name, value in headers if name == _TARGET_MODEL), None)
        model = None if target is None else target.decode("latin-1").removesuffix(_ARCHIVE)
        return invocation(path, self._template, model)

    def answer(self, question: Question) -> object:
        """See `Routing`: there is nothing but predictions."""
        raise NotFoundError(f"{question.route.path} answers predictions alone")


def invocation(path: str, template: str, model: str | None) -> Route:
    """The route of a prediction in the forms of these platforms."""
    return Route(path, INVOCATIONS, model, template=template, invalid=_BAD_REQUEST)
