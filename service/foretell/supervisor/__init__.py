"""Several worker processes on one port: they are started, watched, replaced, and ended in good order."""

from foretell.supervisor.supervisor import Supervisor

__all__ = ["Supervisor"]
