"""Copies an endpoint's invocations to its shadow variant and drops what that answers. Answers no caller.

Each copy is sent in a thread of its own after the caller has been answered: a shadow that is slow or broken costs
nobody anything. Of every hundred invocations as many are copied as the shadow's share of the weights says.
"""

from __future__ import annotations

import threading

from .capture import Exchange
from .model_server import Invocation, NoReply
from .traffic import Variant


def copy(variant: Variant, invocation: Invocation, exchange: Exchange) -> None:
    """Sends the shadows of ``variant`` what it was asked, those whose turn it is.

    Args:
        exchange: of the variant's own; the shadow's has its own answer in it.
    """
    for shadow in variant.shadows:
        if _due(shadow, variant):
            shadow.server.enter()
            threading.Thread(target=_send, args=(shadow, invocation, exchange), daemon=True, name="shadow").start()


def _due(shadow: Variant, variant: Variant) -> bool:
    share = shadow.weight / variant.weight if variant.weight else 0.0
    with shadow.lock:
        shadow.saved += share
        # A hair less than one: ten tenths are not quite one.
        due = shadow.saved >= 1.0 - 1e-9
        shadow.saved -= due
    return due


def _send(shadow: Variant, invocation: Invocation, exchange: Exchange) -> None:
    try:
        reply = shadow.server.invoke(invocation)
    except NoReply:  # the shadow's log has why; nobody waits for its answer
        return
    finally:
        shadow.server.leave()
    if shadow.capture is not None and reply.status < 400:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        answered = (headers.get("content-type", ""), reply.body)
        shadow.capture.take(Exchange(exchange.sent, answered, exchange.attributes, exchange.inference))
