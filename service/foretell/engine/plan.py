"""How the CPUs of this machine are used: so many workers, so many runs at once in each, so many threads in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foretell.engine.cpus import usable_cpus

if TYPE_CHECKING:
    from foretell.settings import Settings

__all__ = ["Plan", "make_plan"]


class Plan(msgspec.Struct, frozen=True):
    """How the CPUs are used.

    Attributes:
        cpus: How many this process may use: its affinity mask, narrowed by the quotas of its cgroups.
        workers: How many processes answer.
        run_threads: How many runs may go on at once in each, outside its event loop.
        intra_op_threads: How many threads one run may use.
        reasons: Why, in words, by the name of the field.
    """

    cpus: int
    workers: int
    run_threads: int
    intra_op_threads: int
    reasons: dict[str, str]

    @property
    def busy_threads(self) -> int:
        """How many threads can run models at once, in all workers together."""
        return self.workers * self.run_threads * self.intra_op_threads


def make_plan(settings: Settings, cpus: int | None = None) -> Plan:
    """The plan of a server.

    What is set stands; the rest is chosen so that the threads that run models are no more than there are CPUs, and at
    least one in each worker. The event loops come on top: while models run, they wait.

    Args:
        settings: The settings.
        cpus: How many CPUs there are; those that this process may use if None.
    """
    if cpus is None:
        cpus = usable_cpus()
    reasons = {"cpus": "the affinity mask, narrowed by the quotas of the cgroups"}
    workers = settings.server.workers
    if workers == "auto":
        workers = cpus
        reasons["workers"] = "server.workers = 'auto': one for each CPU"
    else:
        reasons["workers"] = "server.workers"
    intra_op_threads = settings.engine.intra_op_threads
    reasons["intra_op_threads"] = "engine.intra_op_threads; a model.toml may say otherwise for its model"
    run_threads = settings.engine.run_threads
    if run_threads is None:
        run_threads = max(1, cpus // (workers * intra_op_threads))
        reasons["run_threads"] = (
            f"{cpus} CPUs / ({workers} workers of {intra_op_threads} threads a run), at least 1"
        )
    else:
        reasons["run_threads"] = "engine.run_threads"
    return Plan(cpus, workers, run_threads, intra_op_threads, reasons)
