"""Keeps the embedded AWS of a rehearsal running, for somebody to look around in it. Changes nothing there."""

from __future__ import annotations

import threading

from .journey import Journey


def keep(journey: Journey) -> None:
    """Says how to reach the embedded AWS, and waits until Ctrl-C."""
    console = journey.console
    console.say(f"{console.style('kept', 'ok')}: the embedded AWS answers until Ctrl-C; in another terminal:")
    for name, value in journey.aws.environment(journey.accounts["data-science"]).items():
        console.say(f"  export {name}={value}")
    for account, number in journey.accounts.items():
        console.say(f"  # {account}: AWS_ACCESS_KEY_ID={number}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.say("ended")
