"""Metrics of predictions: for Prometheus to scrape, and over OTLP."""

from foretell_plugins.metrics.plugin import Metrics, MetricsConfig

__all__ = ["Metrics", "MetricsConfig"]
