"""The seed's test of an endpoint: all of it on what the pipeline trained, and how soon it and build.py call AWS."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import verdict
from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws
from seed_support.baking import REGION, bake, build_environment, scrubbed
from test_embedded_endpoints_of_the_seed import Project

ROUNDS = 7
SECONDS, START = 3.0, 1.5
BARE = "import boto3; boto3.client('sagemaker').describe_endpoint(EndpointName='x')"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": REGION}


class Door:
    """A server that notes when somebody first knocks, and lets nobody in."""

    def __init__(self, address: str) -> None:
        self.address, self.knocked = address, threading.Event()
        self.at = 0.0

    def seconds(self, words: list[str], folder: Path, environment: Mapping[str, str]) -> float:
        """The seconds from the start of a process to its first call."""
        self.knocked.clear()
        env = scrubbed(**{**CREDENTIALS, **environment, "AWS_ENDPOINT_URL": self.address})
        began = time.perf_counter()
        child = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not self.knocked.wait(60):
            raise SystemExit(f"{words} called nobody")
        child.wait(60)
        return self.at - began


@contextmanager
def door() -> Iterator[Door]:
    """A door on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not made.knocked.is_set():
                made.at = time.perf_counter()
                made.knocked.set()
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"__type": "AccessDeniedException", "message": "nobody"}).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Door(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def starts(repository: Path) -> dict[str, float]:
    """The seconds to the first call, of a bare client and of both scripts: medians, in turns."""
    build = build_environment(ACCOUNT)
    test = {"BUILD_CONFIG": "staging-config-export.json", "STAGE": "staging", "AWS_REGION": REGION}
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "a bare client": ([sys.executable, "-c", BARE], {}),
        "build.py": ([sys.executable, "build.py"], build),
        "test/test.py": ([sys.executable, "test/test.py", "--results", "out/test-results.json"], test),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with door() as knocked:
        for _ in range(ROUNDS + 1):
            for name, (words, environment) in commands.items():
                taken[name].append(knocked.seconds(words, repository, environment))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def main() -> int:
    """Prints the seconds of whole runs and of the starts, each beside its bound."""
    with tempfile.TemporaryDirectory() as scratch, EmbeddedAws(region=REGION) as aws:
        project = Project(aws, bake(Path(scratch)))
        project.deploy(project.package)
        runs = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            code, said = project.test()
            runs.append(time.perf_counter() - began)
            if code:
                raise SystemExit(f"the test failed: {said}")
        found = starts(project.repository)
    whole = statistics.median(runs)
    print(f"  test/test.py on the default endpoint {whole:.2f} s, from {min(runs):.2f} to {max(runs):.2f}")
    held = verdict("seconds of a whole run", whole, SECONDS, at_most=True)
    bare = found.pop("a bare client")
    for name, seconds in found.items():
        print(f"  {name} calls AWS after {seconds:.3f} s, a bare client after {bare:.3f} s (medians of {ROUNDS})")
        held &= verdict("times a bare client", seconds / bare, START, at_most=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
