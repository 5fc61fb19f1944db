"""Serving over HTTP: the core from bytes to bytes, its adapters, and the ordinary routes."""
