"""The child process of an embedded AWS: binds a port, says which, and serves until its parent is gone. Not for import.

The parent holds the other end of standard input. When that closes, because the parent stopped us or died in whatever
way, this process ends at once, and the jobs that it runs with it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

MOTO_VERSION = "5.2.5"
PARENT_POLL_SECONDS = 0.5


def main() -> int:
    """Runs the server; returns only on a failed start (exit code 1, the reason on standard error)."""
    parser = argparse.ArgumentParser(description="The embedded AWS's own process; started by EmbeddedAws.")
    parser.add_argument("--parent", type=int, required=True, help="process id whose end is also ours")
    parser.add_argument("--strict", action="store_true", help="what roles and users do must be allowed by policies")
    arguments = parser.parse_args()
    parent = arguments.parent
    endings: list[Callable[[], None]] = []
    _end_with(parent, endings)

    # Bound before the slow imports, so that a taken or forbidden port is known at once; port 0 is free by definition.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # moto prints; standard output is for the announcement alone

    from .moto_overlay import MotoMismatch, apply, check

    try:
        check(MOTO_VERSION)
        apply()
    except MotoMismatch as mismatch:
        print(mismatch, file=sys.stderr)
        return 1

    from .dispatch import Application, serve
    from .ground import Ground

    application = Application(Ground(f"http://127.0.0.1:{port}", strict=arguments.strict))
    endings.append(application.close)
    server = serve(application, listener)
    announce.write(json.dumps({"port": port}) + "\n")
    announce.close()
    server.serve_forever()
    return 1


def _end_with(parent: int, endings: Sequence[Callable[[], None]]) -> None:
    """Ends this process, ``endings`` first, when standard input closes or ``parent`` is no longer its parent.

    The second is for a parent that forked without exec while it held the pipe: the copy keeps the pipe open.
    """

    def end() -> None:
        try:
            for act in endings:
                act()
        finally:
            os._exit(0)

    def until_closed() -> None:
        while os.read(0, 4096):
            continue
        end()

    def until_orphaned() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        end()

    for watch in (until_closed, until_orphaned):
        threading.Thread(target=watch, daemon=True, name=watch.__name__).start()


if __name__ == "__main__":
    sys.exit(main())
