from __future__ import annotations

from foretell.supervisor.channel import open_channel
from foretell.supervisor.messages import Accept, Beat, Failed, FromWorker, Ready, Retire


def test_messages_arrive_in_their_order_and_apart() -> None:
    ours, theirs = open_channel()
    said: list[FromWorker] = [Beat(True), Ready(), Failed("no"), Failed(None)]
    for message in said:
        theirs.send(message)
    assert list(ours.hear()) == said
    assert list(ours.hear()) == []
    ours.send(Accept([0, 2]))
    ours.send(Retire())
    assert list(theirs.hear()) == [Accept([0, 2]), Retire()]
    ours.close()
    theirs.close()


def test_the_end_of_the_other_is_heard_after_its_last_message() -> None:
    ours, theirs = open_channel()
    theirs.send(Failed("no"))
    theirs.close()
    assert list(ours.hear()) == [Failed("no"), None]
    assert list(ours.hear()) == [None]
    ours.send(Retire())  # nobody hears it
    ours.close()


def test_who_speaks_to_somebody_who_does_not_listen_does_not_wait() -> None:
    ours, theirs = open_channel()
    for _ in range(100_000):
        theirs.send(Beat(True))
    assert set(ours.hear()) == {Beat(True)}
    ours.close()
    theirs.close()
