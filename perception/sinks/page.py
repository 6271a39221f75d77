"""A web page with the live overlay, for this machine; figures for people, Prometheus and watchdogs.

    /  the page      /stream.mjpg  the overlay      /snapshot.jpg  its newest picture
    /status.json     /metrics  Prometheus text      /healthz  200 while results come, else 503

Every viewer has a thread that sends the newest picture when the last one is through: a slow viewer sees fewer
pictures, a dead one is dropped, and none of them is ever waited for. Nothing is drawn while nobody watches.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import cv2

from perception.colour import bgr_to_planes, planes_to_bgr
from perception.errors import InputError, SinkError
from perception.sinks.figures import Figures
from perception.sinks.jsonl import plain
from perception.sources import SourceInfo
from perception.types import FrameResult, Planes

PAGE = Path(__file__).with_name("page.html")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
JPEG_QUALITY = 80
MOST_VIEWERS = 32
# A viewer who takes nothing for so long is gone.
VIEWER_TIMEOUT_S = 5.0
# Little is buffered on the way, so that what a slow viewer sees is not old.
SEND_BUFFER = 128 << 10
SNAPSHOT_WAIT_S = 3.0

Draw = Callable[[FrameResult], Planes]


class PageSink:
    """Serves the newest overlay and the run's figures over HTTP.

    Args:
        port: to listen on; 0 takes any free one.
        host: 127.0.0.1 serves this machine only; 0.0.0.0 everybody who can reach it.
        draw: what to show for a result; by default the frame as it is.

    Attributes:
        url: of the page, once open.
        viewers: who watch the stream now.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        draw: Draw | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.url = ""
        self.viewers = 0
        self.counts: Callable[[], dict[str, Any]] = dict
        self.figures = Figures()
        self._draw = draw
        self._changed = threading.Condition()
        self._jpeg = b""
        self._number = 0
        self._closing = False
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def watch(self, counts: Callable[[], dict[str, Any]], stop: Callable[[], None]) -> None:
        """Be told where to ask for the run's ledger and state of connection when somebody looks."""
        self.counts = counts

    def open(self, info: SourceInfo) -> None:
        """Start serving.

        Raises:
            InputError: the port cannot be had.
        """
        self._info = info
        self.figures = Figures()
        try:
            self._server = _Server((self.host, self.port), self)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"page {self.host}:{self.port}: cannot be served there ({why}); choose another port"
            ) from error
        self.port = int(self._server.server_address[1])
        self.url = f"http://{self.host}:{self.port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="perception-page", daemon=True
        )
        self._thread.start()

    def write(self, result: FrameResult) -> None:
        """Take note of a result; draw it if somebody watches."""
        self.figures.add(result)
        if self.viewers == 0:
            return
        jpeg = self._encoded(result)
        with self._changed:
            self._jpeg = jpeg
            self._number += 1
            self._changed.notify_all()

    def finish(self, report: dict[str, Any]) -> None:
        """Nothing: the page ends with the run."""

    def close(self) -> None:
        """Stop serving; viewers are disconnected. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.hang_up()
            server.server_close()
        if self._thread is not None:
            self._thread.join()

    def status(self) -> dict[str, Any]:
        """What /status.json says."""
        width, height = self._info.size
        return {
            "source": self._info.name,
            "size": [width, height],
            "viewers": self.viewers,
            **self.figures.as_dict(),
            **self.counts(),
        }

    def next_picture(self, after: int, timeout_s: float) -> tuple[int, bytes]:
        """The newest picture that is not `after`, as (number, JPEG); number is `after` when none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != after or self._closing, timeout_s)
            return (after, b"") if self._closing else (self._number, self._jpeg)

    def watched(self, by: int) -> bool:
        """Count a viewer in (1) or out (-1); False when there are too many."""
        with self._changed:
            if by > 0 and self.viewers >= MOST_VIEWERS:
                return False
            self.viewers += by
            return True

    @property
    def newest(self) -> int:
        return self._number

    @property
    def closing(self) -> bool:
        return self._closing

    def _encoded(self, result: FrameResult) -> bytes:
        if self._draw is not None:
            planes = self._draw(result)
        elif result.frame.planes is not None:
            planes = result.frame.planes
        else:
            planes = bgr_to_planes(result.frame.image, matrix="bt601", full_range=False)
        good, data = cv2.imencode(
            ".jpg", planes_to_bgr(planes), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not good:
            raise SinkError(f"page: a picture of {planes.size} could not be made a JPEG")
        return data.tobytes()


class _Server(ThreadingHTTPServer):
    """Knows its viewers' connections, to hang up on them at the end."""

    daemon_threads = False

    def __init__(self, address: tuple[str, int], page: PageSink) -> None:
        self.page = page
        self._connections: deque[socket.socket] = deque(maxlen=4 * MOST_VIEWERS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(VIEWER_TIMEOUT_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._connections.append(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        if request in self._connections:
            self._connections.remove(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer went away in the middle: nothing to say."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "perception"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.page
        if not self._is_expected_host(page.host):
            self._send(403, "text/plain", b"open this page by the name localhost\n")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/stream.mjpg":
            self._watch(page)
        elif path == "/snapshot.jpg":
            self._snapshot(page)
        elif path == "/status.json":
            body = json.dumps(plain(page.status()), ensure_ascii=False)
            self._send(200, "application/json", body.encode())
        elif path == "/metrics":
            text = page.figures.prometheus(page.counts(), page.viewers)
            self._send(200, "text/plain; version=0.0.4; charset=utf-8", text.encode())
        elif path == "/healthz":
            good, sentence = page.figures.health()
            self._send(200 if good else 503, "text/plain", f"{sentence}\n".encode())
        else:
            self._send(404, "text/plain", b"no such page\n")

    do_HEAD = do_GET

    def _is_expected_host(self, host: str) -> bool:
        """A page for this machine is asked for by this machine's name: others are tricks of web sites."""
        if host not in LOOPBACK:
            return True
        named = self.headers.get("Host", "localhost")
        return named.rpartition(":")[0].strip("[]") in LOOPBACK or named in LOOPBACK

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _snapshot(self, page: PageSink) -> None:
        before = page.newest
        if not page.watched(1):
            self._send(503, "text/plain", b"too many viewers\n")
            return
        try:
            number, jpeg = page.next_picture(before, SNAPSHOT_WAIT_S)
        finally:
            page.watched(-1)
        if number == before:
            self._send(503, "text/plain", b"no picture comes at the moment\n")
        else:
            self._send(200, "image/jpeg", jpeg)

    def _watch(self, page: PageSink) -> None:
        if not page.watched(1):
            self._send(503, "text/plain", b"too many viewers\n")
            return
        try:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            number = page.newest
            last = monotonic()
            while not page.closing and self.command != "HEAD":
                before = number
                number, jpeg = page.next_picture(before, 1.0)
                if number == before:
                    if monotonic() - last > VIEWER_TIMEOUT_S and self._is_gone():
                        return
                    continue
                last = monotonic()
                head = (
                    f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                )
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        finally:
            page.watched(-1)

    def _is_gone(self) -> bool:
        """Whether a viewer to whom nothing was sent for a while has hung up."""
        self.connection.setblocking(False)
        try:
            waiting: bytes = self.connection.recv(1, socket.MSG_PEEK)
            return not waiting
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(VIEWER_TIMEOUT_S)

    def log_message(self, *_: Any) -> None:
        """Quiet: a line for each request would bury what the run says."""
