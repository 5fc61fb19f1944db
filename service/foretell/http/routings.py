"""Which protocols there are, and where each begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.engine.plan import make_plan
from foretell.http.default_model import DefaultModelRouting
from foretell.http.hosted_models import HOSTED_MODELS, HostedModelsRouting
from foretell.http.invocations import InvocationsRouting
from foretell.http.native import MODELS, NativeRouting
from foretell.http.v2.repository import Repository
from foretell.http.v2.routing import V2_ROOT, V2Routing
from foretell.protocols.endpoint import SIMPLE, SIMPLE_BATCH

if TYPE_CHECKING:
    from foretell.http.known import Known
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.lookup import Lookup
    from foretell.http.routes import Routing
    from foretell.plugin.plugin_set import PluginSet
    from foretell.settings import Settings

__all__ = ["routings"]


def routings(
    settings: Settings, lookup: Lookup, plugins: PluginSet, lifecycle: Lifecycle, known: Known
) -> dict[str, Routing]:
    """The prediction protocols, by the path where each begins.

    Args:
        settings: The settings.
        lookup: The models.
        plugins: The enabled plugins.
        lifecycle: Says whether the server is ready.
        known: The paths that were asked before.
    """
    repository = Repository(
        lookup.registry, alone=settings.store.follow != "off" or make_plan(settings).workers == 1
    )
    found: dict[str, Routing] = {
        "/predict": DefaultModelRouting(SIMPLE, "/predict", known),
        "/predict/batch": DefaultModelRouting(SIMPLE_BATCH, "/predict/batch", known),
        MODELS: NativeRouting(lookup, plugins.status, known),
        V2_ROOT: V2Routing(
            lookup,
            lifecycle,
            repository,
            statistics=plugins.statistics,
            admin_key_sha256=settings.admin.key_sha256,
            known=known,
        ),
        "/invocations": InvocationsRouting("/invocations"),
    }
    predict_route = settings.platform.predict_route
    if predict_route is not None:  # also where there is a route of our own
        found[predict_route] = InvocationsRouting(predict_route)
    if settings.platform.sagemaker_multi_model:
        found[HOSTED_MODELS] = HostedModelsRouting(lookup.registry)
    return found
