"""Senders of live streams for tests: tiny, on the loopback, in threads that end with the test."""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

FPS = 25


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """A bar that moves by a column each frame."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[:, (4 * index) % size[0] :][:, :8] = 220
    return image


@cache
def transport_stream(
    frames: int = 25, size: tuple[int, int] = (160, 120), codec: str = "libx264"
) -> bytes:
    """MPEG-TS with key frames every five."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        stream = out.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = (
            {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            if codec == "libx264"
            else {"g": "5"}
        )
        stream.codec_context.thread_count = 1
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


class TcpSender:
    """Sends one body after the other, a connection each; then closes, or stays silent."""

    def __init__(
        self, bodies: list[bytes], *, silent_after: int | None = None, port: int = 0
    ) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        self._bodies = bodies
        self._silent_after = silent_after
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for number, body in enumerate(self._bodies):
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.sendall(body)
                except OSError:
                    continue
                if number == self._silent_after:
                    self._stop.wait()
        self._server.close()

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


class _Camera(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        server: Any = self.server
        if server.password and self.headers.get("Authorization") != server.password:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if self.path == "/":
            self._body("text/html", b"<!DOCTYPE html><html><body>camera</body></html>")
        elif self.path.startswith("/file"):
            self._body("video/mp2t", transport_stream())
        elif self.path.startswith("/video"):
            self._mjpeg(server)
        elif server.folder is not None and (server.folder / self.path[1:]).is_file():
            kind = "application/vnd.apple.mpegurl" if self.path.endswith("m3u8") else "video/mp2t"
            self._body(kind, (server.folder / self.path[1:]).read_bytes())
        else:
            self.send_error(404)

    def _body(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _mjpeg(self, server: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        begin = time.monotonic()
        for index in range(server.pictures):
            if server.jpegs:
                jpeg = server.jpegs[index % len(server.jpegs)]
            else:
                jpeg = cv2.imencode(".jpg", picture(index, (160, 120)))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return
            # By the clock: a busy machine must not slow the camera down.
            due = begin + (index + 1) / server.rate
            if server.stop.wait(max(0.0, due - time.monotonic())):
                return

    def log_message(self, *_: Any) -> None:
        pass


class HttpSender:
    """A camera with a web page at /, MJPEG at /video and a recording at /file.

    Args:
        jpegs: what it shows, again and again; by default a moving bar.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        pictures: int = 1000,
        folder: Path | None = None,
        rate: float = FPS,
        jpegs: Sequence[bytes] = (),
    ) -> None:
        self._server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
        self._server.password, self._server.pictures = password, pictures
        self._server.folder = folder
        self._server.rate, self._server.jpegs = rate, jpegs
        self._server.stop = threading.Event()
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def interpreter_with_gstreamer() -> str | None:
    """A Python that can run benchmarks/rtsp_server.py; None when there is none."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run([python, "-c", check], capture_output=True, timeout=30)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


class RtspServer:
    """GStreamer's RTSP server in a process, with one moving picture at /live."""

    def __init__(self, python: str, script: Path, *words: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/live"
        self._command = [python, str(script), "--port", str(self.port)]
        self.process: subprocess.Popen[str] | None = None
        self.start(*words)

    def start(self, *words: str) -> None:
        self.process = subprocess.Popen([*self._command, *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None
