"""Servers on 127.0.0.1: HTTP with byte ranges and faults that a test orders, and an S3.

Each runs in a process of its own: rasterio keeps Python's lock during some calls into GDAL, and a
thread that should answer would wait for it for ever. What lies under `/-/` is for the test itself.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

__all__ = ["FileServer", "serve", "serve_s3"]


@dataclass(frozen=True)
class FileServer:
    """A running server, as a test sees it; `files` is where the files of `folder` are."""

    url: str
    files: str
    folder: Path

    def log(self) -> list[str]:
        """Every request since the last `behave`, as "GET /path bytes=0-9 206"."""
        with urlopen(f"{self.url}/-/log", timeout=10) as answer:
            lines: list[str] = json.loads(answer.read())
        return lines

    def behave(
        self, fault: str = "", every: int = 1, chance: int = 1, first: int = 0, **more: str
    ) -> None:
        """Forget the log, and from now on let requests go wrong.

        Args:
            fault: "" for none, a status such as "503", "cut" (a third of the body, then the end),
                or "stall" (no answer).
            every: One request in so many goes wrong, beginning with the first.
            chance: Among so many one goes wrong on the average, at random.
            first: The first so many do not.
            **more: tags="no": neither ETag nor Last-Modified; only="GET": faults for these only;
                head="403": the answer to HEAD.
        """
        words = {"fault": fault, "every": every, "chance": chance, "first": first, **more}
        query = "&".join(f"{key}={value}" for key, value in words.items())
        urlopen(f"{self.url}/-/behave?{query}", timeout=10).close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        if self.path.startswith("/-/"):
            self._obey()
        else:
            self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # the test reads the server's own log

    def _obey(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        with server.lock:
            body = json.dumps(server.log).encode()
            if parts.path == "/-/behave":
                server.orders = {key: values[0] for key, values in parse_qs(parts.query).items()}
                server.log, server.met = [], 0
                server.random.seed(1)  # a test meets the same faults, whichever ran before it
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fault(self) -> str:
        """What is to go wrong with this request; "" for nothing."""
        server = self.server
        with server.lock:
            orders = server.orders
            if self.command == "HEAD" and "head" in orders:
                return orders["head"]
            if self.command not in orders.get("only", self.command):
                return ""
            turn = server.met - int(orders.get("first", 0))
            server.met += 1
            is_due = turn >= 0 and turn % int(orders.get("every", 1)) == 0
            is_due &= server.random.random() * int(orders.get("chance", 1)) < 1
            return orders.get("fault", "") if is_due else ""

    def _answer(self, *, with_body: bool) -> None:
        server, fault, asked = self.server, self._fault(), self.headers.get("Range")
        file = server.root / urlsplit(self.path).path.lstrip("/")
        content, first, last = b"", 0, -1
        status = int(fault) if fault.isdecimal() else 200 if file.is_file() else 404
        if status == 200:
            content = file.read_bytes()
            first, last = _span(asked, len(content))
            if asked:
                status = 206 if first <= last else 416
        with server.lock:
            server.log.append(f"{self.command} {self.path} {asked} {fault or status}")
        if fault == "stall":
            server.over.wait(60)
            self.close_connection = True
            return
        body = content[first : last + 1] if status in (200, 206) else b"no\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (200, 206):
            self.send_header("Accept-Ranges", "bytes")
            if server.orders.get("tags") != "no":
                self.send_header("ETag", f'"{blake2b(content, digest_size=8).hexdigest()}"')
                self.send_header("Last-Modified", self.date_time_string(file.stat().st_mtime))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 3 + 1] if fault == "cut" else body)
        if fault == "cut":
            self.close_connection = True


def _span(asked: str | None, size: int) -> tuple[int, int]:
    """First and last byte that a Range header asks for; all of them without one."""
    if not asked:
        return 0, size - 1
    begin, _, end = asked.removeprefix("bytes=").partition("-")
    if not begin:
        return max(size - int(end), 0), size - 1
    return int(begin), min(int(end), size - 1) if end else size - 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.log: list[str] = []
        self.orders: dict[str, str] = {}
        self.met = 0
        self.random = random.Random(1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is no fault of the test


@contextmanager
def serve(root: Path) -> Iterator[FileServer]:
    """Give the files of a folder away on a free port."""
    command = [sys.executable, __file__, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield FileServer(url, url, root)
        finally:
            process.kill()


@contextmanager
def serve_s3() -> Iterator[str]:
    """Run moto's S3 on a free port, in a process of its own; gives host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError("the S3 server did not start")


if __name__ == "__main__":
    server = _Server(Path(sys.argv[1]))
    print(server.server_address[1], flush=True)
    server.serve_forever()
