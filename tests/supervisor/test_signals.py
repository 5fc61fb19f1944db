from __future__ import annotations

import os
import select
import signal

from foretell.supervisor.signals import Signals


def test_signals_are_caught_in_their_order_and_can_be_waited_for() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Signals([signal.SIGHUP, signal.SIGUSR1]) as signals:
        assert signals.caught() == []
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([signals], [], [], 30)[0] == [signals]
        assert signals.caught() == [signal.SIGHUP, signal.SIGUSR1]
        assert signals.caught() == []
    assert signal.getsignal(signal.SIGHUP) == before
