"""What was counted, as the statistics extension of the Open Inference Protocol tells it.

Sizes of runs are gathered in powers of two: a batch size of 8 stands for 5 to 8 rows, and twice the largest bound for
everything above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from foretell.statistics import BatchStatistics, Duration, VersionStatistics
from foretell_plugins.metrics.totals import ROW_BOUNDS, STAGES

if TYPE_CHECKING:
    from foretell_plugins.metrics.label_sets import LabelSet
    from foretell_plugins.metrics.totals import Row, Totals

__all__ = ["statistics_of"]

_ANSWERED: Final = frozenset({"success", "degraded"})
_DECODE, _QUEUE, _RUN, _ENCODE = range(len(STAGES))
_SIZES: Final = [*ROW_BOUNDS.tolist(), 2 * int(ROW_BOUNDS[-1])]


def statistics_of(totals: Totals) -> list[VersionStatistics]:
    """What the predictions of each version came to, by name and number.

    Answers of something else in a version's place count as that version's: it was asked.
    """
    found: dict[tuple[str, int], VersionStatistics] = {}
    runs: dict[tuple[str, int], dict[int, Duration]] = {}
    for label_set, row in totals.counted():
        if label_set.is_prediction and label_set.model and label_set.version:
            key = label_set.model, label_set.version
            told = found.setdefault(key, VersionStatistics(label_set.model, str(label_set.version)))
            _add(told, label_set, row)
            for size, (count, ns) in zip(_SIZES, row.runs_by_rows(), strict=True):
                if count:
                    runs.setdefault(key, {}).setdefault(size, Duration()).add(count, ns)
    for key, by_size in runs.items():
        found[key].batch_stats = [BatchStatistics(size, by_size[size]) for size in sorted(by_size)]
        found[key].execution_count = sum(duration.count for duration in by_size.values())
    return [found[key] for key in sorted(found)]


def _add(told: VersionStatistics, label_set: LabelSet, row: Row) -> None:
    stats = told.inference_stats
    if label_set.outcome not in _ANSWERED:
        stats.fail.add(row.count, row.total_ns)
        return
    stats.success.add(row.count, row.total_ns)
    told.inference_count += row.rows
    told.last_inference = max(told.last_inference, row.last_ns // 1_000_000)
    spent = [row.stage_total(stage) for stage in range(len(STAGES))]
    for duration, stage in (
        (stats.compute_input, _DECODE),
        (stats.queue, _QUEUE),
        (stats.compute_infer, _RUN),
        (stats.compute_output, _ENCODE),
    ):
        duration.add(*spent[stage])
    cached = {"hit": stats.cache_hit, "coalesced": stats.cache_hit, "miss": stats.cache_miss}
    if label_set.cache in cached:
        rest_ns = row.total_ns - sum(ns for _, ns in spent)
        cached[label_set.cache].add(row.count, max(rest_ns, 0))
