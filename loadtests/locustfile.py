"""foretell's users for Locust; see docs/loadtesting.md."""

from foretell.loadtest.locustfile import *  # noqa: F403 - Locust looks for users among a file's names
