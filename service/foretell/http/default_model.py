"""Paths of one prediction that name no model: the default one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.errors import NotFoundError
from foretell.http.routes import Question, Route

if TYPE_CHECKING:
    from foretell.http.known import Known
    from foretell.prediction import Headers

__all__ = ["DefaultModelRouting"]


class DefaultModelRouting:
    """One path on which the default model predicts; see `Routing`.

    Args:
        protocol: The codec.
        template: The path, as it is documented.
        known: The paths that were asked before.
    """

    has_paths_below = False

    def __init__(self, protocol: str, template: str, known: Known) -> None:
        self.protocol = protocol
        self._template = template
        self._known = known

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """See `Routing`."""
        del rest, headers
        return self._known.route(path) or self._known.add(Route(path, self.protocol, template=self._template))

    def answer(self, question: Question) -> object:
        """See `Routing`: there is nothing but predictions."""
        raise NotFoundError(f"{question.route.path} answers predictions alone")
