"""What the server counted, and whether that is what was asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from foretell.loadtest.record import Record

__all__ = ["counted", "differences"]

_FAMILY: Final = "foretell_requests"
_PROTOCOLS: Final = {"records": "native", "batch": "simple-batch", "v2-binary": "v2"}
"""What the server calls the protocol of a form, where that is not the form's name."""


def counted(url: str) -> Counter[tuple[str, str, str]] | None:
    """How many predictions the server has counted, by model, protocol and outcome; None if it has no metrics.

    Args:
        url: The server.

    Raises:
        OSError: It does not answer.
    """
    try:
        with urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310 - the server of the test
            text = answer.read().decode()
    except HTTPError as error:
        if error.code == 404:
            return None
        raise
    found: Counter[tuple[str, str, str]] = Counter()
    for family in text_string_to_metric_families(text):
        if family.name == _FAMILY:
            for sample in family.samples:
                if sample.name == f"{_FAMILY}_total":
                    labels = sample.labels
                    found[labels["model"], labels["protocol"], labels["outcome"]] += int(sample.value)
    return found


def differences(
    before: Counter[tuple[str, str, str]], after: Counter[tuple[str, str, str]], record: Record
) -> list[str]:
    """Where the server has counted otherwise than the load test, a sentence each.

    Where questions got no answer, or were sent again, a worker may have been killed between counting and answering, or
    between answering and counting: the counts may differ by as many.
    """
    grown = after - before
    right: Counter[tuple[str, str]] = Counter()
    lost: Counter[tuple[str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    for seen in record.seen.values():
        key = seen.model, _PROTOCOLS.get(seen.protocol, seen.protocol)
        right[key] += seen.latencies.total + seen.wrong
        refused[key] += seen.refused
        lost[key] += seen.lost
    found: list[str] = []
    for key in sorted(right.keys() | {(model, protocol) for model, protocol, _ in grown}):
        told = grown[(*key, "success")]
        unclear = lost[key] + record.resent
        if abs(told - right[key]) > unclear:
            found.append(
                f"{key[0]}, {key[1]}: the server counted {told} right answers, the load test {right[key]}"
            )
        told_failed = sum(
            count
            for (model, protocol, outcome), count in grown.items()
            if (model, protocol) == key and outcome != "success"
        )
        if abs(told_failed - refused[key]) > unclear:
            found.append(
                f"{key[0]}, {key[1]}: the server counted {told_failed} failures, the load test {refused[key]}"
            )
    return found
