"""What becomes of an exception or of time that a plugin takes: its fault, or not, and whether the prediction goes on."""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Final

from foretell.errors import ForetellError, PluginError
from foretell.plugin.contract import Stage

if TYPE_CHECKING:
    from foretell.plugin.faults import Faults
    from foretell.prediction import PredictRequest

__all__ = ["Blame"]


_BUDGETED_BYTES: Final = 16 * 1024


class Blame:
    """Judges what one plugin does around the predictions of one version.

    Args:
        plugin: The plugin's name.
        stage: Its stage.
        faults: Where faults go.
        timeout_s: How long it may take, apart from what it calls on, seconds.
        budget_us: How long it should take at most, apart from what it calls on, for a request of up to 16 KB of
            inputs, µs; for a larger one so many times as long.
    """

    def __init__(
        self, plugin: str, stage: Stage, faults: Faults, *, timeout_s: float, budget_us: float
    ) -> None:
        self.plugin = plugin
        self.timeout_s = timeout_s
        self._open = stage.fails_open
        self._judges = stage not in {Stage.OBSERVE, Stage.SHADOW}
        self._faults = faults
        self._budget_us = budget_us
        self._own_us: float | None = None

    def judge(self, error: BaseException, hook: str, request: PredictRequest) -> None:
        """Count an exception as the plugin's fault.

        Raises:
            BaseException: The exception itself, where it is no fault.
            PluginError: The prediction must not go on without the plugin.
        """
        if isinstance(error, (GeneratorExit, KeyboardInterrupt)):
            raise error
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise error
        if self._judges and isinstance(error, ForetellError) and not isinstance(error, PluginError):
            raise error  # no crash, but a verdict
        self.count(error, hook, request)
        if not self._open:
            raise PluginError(f"plugin {self.plugin!r} failed: {type(error).__name__}: {error}") from error

    def count(self, error: BaseException, hook: str, request: PredictRequest) -> None:
        """Count a fault of which nobody else hears."""
        self._faults.failed(self.plugin, hook, error, request_id=request.record.request_id)

    def no_answer(self, hook: str, given: object, wanted: str = "True or False") -> PluginError:
        """What is wrong with something that a hook gave in place of what is wanted."""
        if isinstance(given, CoroutineType):
            given.close()  # nobody waits for it
        return PluginError(
            f"plugin {self.plugin!r}: {hook} gave {given!r}; it must give {wanted}, and at once"
        )

    def compare(self, own_us: float, hook: str, request: PredictRequest, *, sampled: bool) -> bool:
        """Compare the plugin's own time for a request with what it may take, and with its budget.

        Args:
            own_us: The time, µs.
            hook: Where it took it.
            request: The request.
            sampled: Whether the request was chosen to be timed before anything was known of it; only such ones are
                compared with the budget, smoothed over several.

        Returns:
            Whether it was in time.
        """
        if own_us > self.timeout_s * 1e6:
            error = PluginError(
                f"plugin {self.plugin!r} took {own_us / 1e6:.3g} s of its own for one request; timeout_s is "
                f"{self.timeout_s:g}. While it computes, every other request waits: use asyncio.to_thread"
            )
            self.count(error, hook, request)
            return False
        if sampled:
            own_us /= max(1.0, sum(tensor.nbytes for tensor in request.inputs.values()) / _BUDGETED_BYTES)
            known = self._own_us
            self._own_us = own_us if known is None else known + (own_us - known) / 8
            if self._own_us > self._budget_us:
                self._faults.slow(self.plugin, hook, own_us=self._own_us, budget_us=self._budget_us)
        return True
