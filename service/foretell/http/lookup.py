"""From what a path names to what answers it: a model, one of its versions, or what its alias points at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from foretell.errors import AsleepError, NotFoundError, NotReadyError
from foretell.excerpts import shortened
from foretell.store.layout import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.engine.model import Model
    from foretell.engine.registry import Registry
    from foretell.http.routes import Route
    from foretell.prediction import Choose, RequestRecord
    from foretell.protocols.endpoint import Endpoint

__all__ = ["Lookup"]


class Lookup:
    """What routes lead to, as the models are now.

    Args:
        registry: The models.
        default_model: The model of routes that name none; if it is None, the only one there is.
        clock_ns: The clock of deadlines, ns.
    """

    def __init__(
        self,
        registry: Registry[Endpoint],
        default_model: str | None = None,
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.registry = registry
        self._default_model = default_model
        self._clock_ns = clock_ns

    def endpoint(self, route: Route) -> Endpoint:
        """What answers a route.

        Raises:
            NotFoundError: There is no such model, version or alias.
            NotReadyError: It does not serve.
            AsleepError: It is loaded when somebody asks; see `wake`.
        """
        name = route.model if route.model is not None else self._default_name()
        if route.version is None and route.alias is None:
            try:
                return self.registry.default(name)
            except NotFoundError as error:
                if route.model is None:
                    raise NotFoundError(f"{error}; the setting store.default_model names it") from error
                raise
        model = self.registry.model(name)
        if route.alias is not None:
            return model.alias(route.alias)
        return model.version(number_of(route))

    def model(self, route: Route) -> Model[Endpoint]:
        """The model of a route.

        Raises:
            NotFoundError: There is none of that name.
            NotReadyError: The store is still being loaded, or could not be.
        """
        return self.registry.model(route.model if route.model is not None else self._default_name())

    def default(self) -> Endpoint | None:
        """What answers routes that name no model at the moment; None if nothing does."""
        try:
            return self.registry.default(self._default_name())
        except (NotFoundError, NotReadyError):
            return None

    async def awake(self, route: Route) -> Endpoint:
        """What answers a route; a model that is asleep is loaded first, for as long as that takes.

        Raises:
            NotFoundError: There is no such model, version or alias.
            NotReadyError: It does not serve.
        """
        try:
            return self.endpoint(route)
        except AsleepError as asleep:
            return await self.wake(asleep.model, route, 0)

    async def wake(self, model: str, route: Route, deadline_ns: int) -> Endpoint:
        """What answers a route whose model is loaded when it is asked; a deadline of 0 means never.

        Raises:
            DeadlineError: That takes too long.
        """
        while True:
            left_ns = max(deadline_ns - self._clock_ns(), 0)
            await self.registry.wake(model, timeout_s=left_ns / 1e9 if deadline_ns else None)
            try:
                return self.endpoint(route)
            except AsleepError:  # it had to make room for others in the same moment
                continue

    def chosen(self, default: Endpoint, choose: Choose, record: RequestRecord) -> Endpoint:
        """What plugins choose in place of the default; the default where that does not serve."""
        record.version = default.info.version
        number = choose(record)
        if number == default.info.version:
            return default
        return self.registry.model(default.info.name).versions.get(number, default)

    def _default_name(self) -> str:
        if self._default_model is not None:
            return self._default_model
        models = self.registry.models
        if len(models) == 1:
            return next(iter(models))
        raise NotFoundError(
            "there is no default model: set store.default_model, or name the model: POST /v1/models/<model>:predict"
        )


def number_of(route: Route) -> int:
    """The version that a route names.

    Raises:
        NotFoundError: That is no version at all.
    """
    number = parse_version(route.version or "")
    if number is None:
        raise NotFoundError(
            f"{shortened(route.version or '')!r} is not a version: versions are positive whole numbers"
        )
    return number
