"""One loaded version of a model: it answers predictions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from foretell.engine.extent import extent
from foretell.engine.joint_run import run_jointly, spans_of
from foretell.errors import InvalidInputError, Problem, RunError
from foretell.prediction import ModelInfo, PredictRequest, PredictResponse, answered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from foretell.engine.batching import Batching
    from foretell.engine.lane import Lane
    from foretell.engine.shared_weights import Opened
    from foretell.engine.warm_up import Cost
    from foretell.parser import Parser
    from foretell.signature import Signature

__all__ = ["Version"]


class Version:
    """A loaded version of a model.

    A run that is expected to be short happens on the event loop; a longer one in the threads that all models share,
    where ONNX Runtime releases the interpreter.

    Args:
        info: What is known of it.
        opened: Its graph.
        parser: The parser of its signature.
        lane: Where its longer runs wait for a thread.
        cost: What a run was measured to cost; None if that is not known.
        batching: Whether requests share runs.
        inline_us: Runs expected to be shorter than this happen on the event loop, µs.
        extent_of_row: The extent of the row that its cost was measured on, where rows differ in that; None where the
            number of rows alone says how long a run takes.

    Attributes:
        weights: What is known of its weights.
        inline_rows: The greatest number of rows whose run happens on the event loop; 0 if none does.
        loop_rows: How many rows of several requests may share a run there; 1 for none.
    """

    def __init__(
        self,
        info: ModelInfo,
        opened: Opened,
        parser: Parser,
        lane: Lane,
        *,
        cost: Cost | None,
        batching: Batching,
        inline_us: float,
        extent_of_row: int | None = None,
    ) -> None:
        self.info = info
        self.weights = opened.weights
        self.parser = parser
        self.cost = cost
        self.batching = batching
        self.inline_rows = _inline_rows(cost, inline_us)
        self._inline_extent = None if extent_of_row is None else self.inline_rows * extent_of_row
        self.loop_rows = 1 if extent_of_row is not None else min(batching.loop_rows, max(self.inline_rows, 1))
        self._is_fixed = _is_fixed(info.signature)
        self._opened = opened
        self._session = opened.session
        self._lane = lane

    def respond(self, request: PredictRequest) -> PredictResponse | Awaitable[PredictResponse]:
        """Answer one request: at once, if its run is short, else when its turn has come.

        Raises:
            RunError: ONNX Runtime failed.
            InvalidInputError: It failed, and by what is known the inputs are to blame.
            QueueFullError: Too much waits for the model's runs.
            DeadlineError: It took longer than the caller waits.
        """
        record = request.record
        record.queued_ns = time.perf_counter_ns()
        if request.rows > self.inline_rows or (
            self._inline_extent is not None and extent(request.inputs) > self._inline_extent
        ):
            return self._in_turn(request)
        record.run_rows = request.rows
        record.run_started_ns = record.queued_ns
        try:
            outputs = self._session.run(request.inputs, request.outputs)
        except RunError as error:
            self._explain(request, error)
            raise
        record.run_ended_ns = time.perf_counter_ns()
        return PredictResponse(outputs)

    def respond_together(self, requests: Sequence[PredictRequest]) -> list[PredictResponse | None]:
        """Answer requests that came together in as few runs as they fit into.

        Each is answered as it would be alone, bit for bit, as was shown when the version was loaded.

        Returns:
            For each its response; None for those that `respond` is to answer.
        """
        responses: list[PredictResponse | None] = [None] * len(requests)
        for places in self._groups(requests):
            if len(places) > 1:
                for place, response in zip(
                    places, self._run_jointly([requests[place] for place in places]), strict=True
                ):
                    responses[place] = response
        return responses

    def _run_jointly(self, requests: Sequence[PredictRequest]) -> Sequence[PredictResponse | None]:
        started_ns = time.perf_counter_ns()
        try:
            outputs = run_jointly(self._session, requests)
        except RunError:  # whose fault it is, each finds out alone
            return [None] * len(requests)
        ended_ns = time.perf_counter_ns()
        traced = spans_of(request.record for request in requests)
        for request in requests:
            record = request.record
            record.queued_ns = record.run_started_ns = started_ns
            record.run_ended_ns = ended_ns
            record.together = len(requests)
            if traced:
                record.companions = tuple(span for span in traced if span[1] != record.span_id)
        requests[0].record.run_rows = sum(each.rows for each in requests)  # the first of them counts the run
        return [PredictResponse(own) for own in outputs]

    def _groups(self, requests: Sequence[PredictRequest]) -> list[list[int]]:
        """The places of requests that can share a run, for one run after the other."""
        groups: list[list[int]] = []
        last: dict[
            Any, tuple[list[int], int]
        ] = {}  # of each form, the group that is being filled, and its rows
        for place, request in enumerate(requests):
            if request.rows >= self.loop_rows:
                continue
            form = (request.outputs, None if self._is_fixed else _form(request))
            known = last.get(form)
            if known is not None and known[1] + request.rows <= self.loop_rows:
                group, rows = known
                group.append(place)
            else:
                group, rows = [place], 0
                groups.append(group)
            last[form] = group, rows + request.rows
        return groups

    async def predict(self, request: PredictRequest) -> PredictResponse:
        """Answer one request; see `respond`."""
        return await answered(self.respond(request))

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for a run."""
        return self._lane.waiting_rows

    def close(self) -> None:
        """Take no more requests for a thread; those that wait or run are answered."""
        self._lane.close()
        self._opened.close()

    async def _in_turn(self, request: PredictRequest) -> PredictResponse:
        try:
            return PredictResponse(await self._lane.run(request))
        except RunError as error:
            self._explain(request, error)
            raise

    def _explain(self, request: PredictRequest, error: RunError) -> None:
        """Say of a run that failed that the inputs are to blame, if so.

        Raises:
            InvalidInputError: They are: by what the runtime says, or because the model does not declare what they must be.
        """
        undeclared = self._undeclared(request)
        if undeclared is not None:
            raise InvalidInputError(undeclared) from error
        if error.blames_values:
            message = "the model failed on these inputs: a value is none that it can take, such as an index beyond its end"
            raise InvalidInputError(Problem("$", message)) from error

    def _undeclared(self, request: PredictRequest) -> Problem | None:
        """What is most likely wrong with inputs that a run failed on; None if every axis but that of rows is declared."""
        for tensor in self.info.signature.inputs:
            for axis, declared in enumerate(tensor.shape):
                if not isinstance(declared, int) and not (axis == 0 and self.info.signature.batched):
                    length = request.inputs[tensor.name].shape[axis]
                    message = (
                        f"the model failed on this input: it does not declare how long axis {axis} of "
                        f"{tensor.name!r} must be, and got the length {length}; send the length that it was made for"
                    )
                    return Problem("$", message)
        return None


def _is_fixed(signature: Signature) -> bool:
    """Whether all requests have the same form."""
    return all(isinstance(length, int) for tensor in signature.inputs for length in tensor.shape[1:])


def _form(request: PredictRequest) -> tuple[Any, ...]:
    """What requests that share a run must have in common, apart from what their version's parser makes equal."""
    return tuple((name, array.shape[1:]) for name, array in request.inputs.items())


def _inline_rows(cost: Cost | None, inline_us: float) -> int:
    """The greatest number of rows whose run is short enough for the event loop; none that was never tried."""
    if cost is None or cost.of(1) > inline_us:
        return 0
    return int(min((inline_us - cost.base_us) / max(cost.row_us, 1e-3), cost.rows))
