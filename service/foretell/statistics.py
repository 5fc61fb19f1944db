"""What the requests of a version came to, over all processes that answer for a server."""

from __future__ import annotations

import msgspec

__all__ = ["BatchStatistics", "Duration", "VersionStatistics"]


class Duration(msgspec.Struct):
    """Something that takes time.

    Attributes:
        count: How often it was done.
        ns: How long it took in all, ns.
    """

    count: int = 0
    ns: int = 0

    def add(self, count: int, ns: int) -> None:
        """Count more of it."""
        self.count += count
        self.ns += ns


class BatchStatistics(msgspec.Struct, frozen=True):
    """The runs of one size.

    Attributes:
        batch_size: How many rows they had.
        compute_infer: The runs.
    """

    batch_size: int
    compute_infer: Duration


class InferStatistics(msgspec.Struct):
    """The predictions of a version, and what their time went to.

    Attributes:
        success: Those that were answered.
        fail: Those that were not.
        queue: Waiting for a run.
        compute_input: Reading the request.
        compute_infer: Running the model.
        compute_output: Writing the answer.
        cache_hit: Those that a cache answered; the time it took to find that.
        cache_miss: Those that it could not; the time it took to find that, and to keep the answer.
    """

    success: Duration = msgspec.field(default_factory=Duration)
    fail: Duration = msgspec.field(default_factory=Duration)
    queue: Duration = msgspec.field(default_factory=Duration)
    compute_input: Duration = msgspec.field(default_factory=Duration)
    compute_infer: Duration = msgspec.field(default_factory=Duration)
    compute_output: Duration = msgspec.field(default_factory=Duration)
    cache_hit: Duration = msgspec.field(default_factory=Duration)
    cache_miss: Duration = msgspec.field(default_factory=Duration)


class VersionStatistics(msgspec.Struct):
    """The predictions of one version.

    Attributes:
        name: The model's name.
        version: The version's number, as text.
        last_inference: When the last was answered, milliseconds since 1970; 0 if none was.
        inference_count: How many rows were answered.
        execution_count: How often the model ran.
        inference_stats: What their time went to.
        batch_stats: The runs by their sizes.
        memory_usage: Nothing is told of it.
    """

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    inference_stats: InferStatistics = msgspec.field(default_factory=InferStatistics)
    batch_stats: list[BatchStatistics] = []
    memory_usage: list[int] = []
