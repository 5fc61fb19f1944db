"""Builds the container image and tries it, with no registry: ``make image-test``."""
