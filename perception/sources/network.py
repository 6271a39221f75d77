"""Streams from the network and from standard input: RTSP, HTTP (MJPEG, MPEG-TS, HLS), TCP and UDP MPEG-TS, a pipe.

Passwords are in the addresses and nowhere else: every name, message and record shows an address without them.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import PurePosixPath
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

import av
import av.container
import av.error

from perception.errors import InputError, RequestError, unknown
from perception.sources import LiveOptions
from perception.sources.connection import SLICE_S, Connection
from perception.sources.live import LiveSource
from perception.sources.transport import (
    HttpBytes,
    PipeBytes,
    TcpBytes,
    Transport,
    UdpBytes,
    answer,
    why,
)

SCHEMES = ("rtsp", "rtsps", "http", "https", "tcp", "udp")
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# The first picture soon: a stream that says what it is in its session description needs no probing.
DESCRIBED = {"probesize": "32", "fpsprobesize": "0"}
# One that does not gets a fifth of a second.
PROBED = {"probesize": "500000", "analyzeduration": "200000", "fpsprobesize": "0"}
KNOCK_TIMEOUT_S = 0.5
PLAYLISTS = ("mpegurl",)
# A playlist's next part may be long in coming.
PLAYLIST_TIMEOUT_S = 20.0
HTTP_ERRORS = {
    av.error.HTTPUnauthorizedError: 401,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
}
TS_PACKET = 188
HEAD = 3 * TS_PACKET
HTML = (b"<!doctype html", b"<html")


def open_stream(address: str, *, options: LiveOptions | None = None, stream: int = 0) -> LiveSource:
    """Open a stream by its address, or standard input for "-".

    Raises:
        InputError: no connection, or no picture in it; says why and what to try.
        RequestError: an address of a kind that is not supported.
    """
    options = options or LiveOptions()
    if address == "-":
        return _open_pipe(options, stream)
    url = split_address(address)
    name = safe_name(url)
    reconnect, live = True, True
    if url.scheme in ("http", "https"):
        live = reconnect = not _is_file(url, name, options)

    def connect(timeout_s: float) -> Connection:
        return _connect(address, url, name, options, timeout_s, paced=live)

    def knock() -> bool:
        return _is_open(url)

    return LiveSource(
        name,
        connect,
        live=live,
        # A plain TCP sender may serve whoever comes first: it is not bothered.
        knock=knock if url.scheme in DEFAULT_PORTS else None,
        reconnect=reconnect,
        reconnect_for_s=options.reconnect_for_s,
        open_timeout_s=options.open_timeout_s,
        stream=stream,
    )


def split_address(address: str) -> SplitResult:
    """The parts of an address of a kind that can be opened.

    Raises:
        RequestError: another kind.
        InputError: no host in it.
    """
    try:
        url = urlsplit(address)
        host = url.hostname
    except ValueError:
        raise InputError(
            "the address of the stream cannot be understood; check its brackets"
        ) from None
    if url.scheme not in SCHEMES:
        raise RequestError(f"{url.scheme}://: {unknown('kind of address', url.scheme, SCHEMES)}")
    if not host and url.scheme not in ("udp", "tcp"):
        raise InputError(
            f"{url.scheme}://: the address has no host, as in {url.scheme}://192.168.1.20/stream"
        )
    return url


def safe_name(url: SplitResult) -> str:
    """The address as it may be shown: without user, password and query, where secrets are.

    >>> safe_name(urlsplit("rtsp://me:secret@cam.local:8554/live?token=abc"))
    'rtsp://cam.local:8554/live'
    """
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def _connect(
    address: str,
    url: SplitResult,
    name: str,
    options: LiveOptions,
    timeout_s: float,
    *,
    paced: bool,
) -> Connection:
    if url.scheme in ("rtsp", "rtsps"):
        return _by_ffmpeg(
            address,
            url,
            name,
            {"rtsp_transport": options.transport, **DESCRIBED},
            timeout_s,
            options.read_timeout_s,
            paced=True,
        )
    if url.scheme in ("http", "https"):
        body = HttpBytes(url, name, options.read_timeout_s)
        if _is_playlist(body, url) or not paced:
            body.close()
            wait_s = max(options.read_timeout_s, PLAYLIST_TIMEOUT_S)
            # Parts of a playlist come all at once, and a file as fast as it is taken.
            return _by_ffmpeg(address, url, name, {}, max(timeout_s, wait_s), wait_s, paced=False)
        boundary = body.content_type.startswith("multipart/")
        return _from_bytes(body, "mpjpeg" if boundary else None)
    kind = TcpBytes if url.scheme == "tcp" else UdpBytes
    # The connection is made, or the first datagram awaited, within the time for opening.
    transport = kind(url, name, timeout_s)
    return _from_bytes(transport, None, options.read_timeout_s)


def _by_ffmpeg(
    address: str,
    url: SplitResult,
    name: str,
    settings: dict[str, str],
    open_timeout_s: float,
    read_timeout_s: float,
    *,
    paced: bool,
) -> Connection:
    """FFmpeg makes the connection and reads it, in slices of time."""
    _look_up(url, name, open_timeout_s)
    port = url.port or DEFAULT_PORTS[url.scheme]
    host = url.hostname or ""
    start = monotonic()
    try:
        container = av.open(address, options=settings, timeout=(open_timeout_s, SLICE_S))
    except av.error.FFmpegError as error:
        # FFmpeg says "invalid data" of an answer that did not come in time.
        silent = monotonic() - start >= open_timeout_s
        why_not = _silence(host, port) if silent else _refusal(error, url.scheme, host, port)
        raise InputError(f"{name}: {why_not}") from None
    return Connection(container, name, timeout_s=read_timeout_s, paced=paced)


def _is_open(url: SplitResult) -> bool:
    try:
        address = url.hostname or "", url.port or DEFAULT_PORTS[url.scheme]
        socket.create_connection(address, KNOCK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _look_up(url: SplitResult, name: str, timeout_s: float) -> None:
    """Knock at the port first: the system's own errors say more than FFmpeg's."""
    host, port = url.hostname or "", url.port or DEFAULT_PORTS[url.scheme]
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise InputError(f"{name}: {why(error, host, port)}") from None


def _silence(host: str, port: int) -> str:
    return f"{host} took the connection on port {port} but did not answer; restart the camera or its server"


def _refusal(error: Any, scheme: str, host: str, port: int) -> str:
    for kind, code in HTTP_ERRORS.items():
        if isinstance(error, kind):
            return answer(code, "")
    if isinstance(error, av.error.ExitError):
        return _silence(host, port)
    if isinstance(error, av.error.InvalidDataError) and scheme.startswith("http"):
        return f"what is there is not a video that can be read ({error.strerror}); check the path after the host"
    if isinstance(error, av.error.InvalidDataError):
        return (
            f"port {port} of {host} does not answer as {scheme.upper()} should; is it a web page? "
            "Try http:// for MJPEG, or the port that the camera names for RTSP (mostly 554)"
        )
    return f"the stream cannot be opened ({error.strerror}); check the path after the host"


def _from_bytes(
    transport: Transport,
    format_name: str | None,
    read_timeout_s: float | None = None,
    *,
    paced: bool = True,
) -> Connection:
    """FFmpeg demuxes what the transport reads."""
    try:
        head = _Head(transport)
        if format_name is None and head.is_transport_stream():
            format_name = "mpegts"
        container = av.open(head, "r", format=format_name, options=PROBED)
    except av.error.FFmpegError as error:
        transport.close()
        raise InputError(
            f"{transport.name}: {_not_a_video(head.first, transport, error)}"
        ) from None
    except BaseException:
        transport.close()
        raise
    if read_timeout_s is not None:
        transport.timeout_s = read_timeout_s
    return Connection(
        container,
        transport.name,
        transport=transport,
        timeout_s=transport.timeout_s,
        paced=paced,
    )


class _Head:
    """Passes reads on and remembers the first bytes, to say what came when it was no video."""

    def __init__(self, transport: Transport) -> None:
        self.name = transport.name
        self.first = b""
        self._given = 0
        self._transport = transport

    def is_transport_stream(self) -> bool:
        """Three packets of ISO/IEC 13818-1 in a row; FFmpeg's own look needs a hundred, which take their time."""
        while len(self.first) < HEAD:
            data = self._transport.read(HEAD - len(self.first))
            if not data:
                break
            self.first += data
        return self.first[:HEAD:TS_PACKET] == b"\x47" * 3

    def read(self, size: int) -> bytes:
        if self._given < len(self.first):
            data = self.first[self._given : self._given + size]
            self._given += len(data)
            return data
        data = self._transport.read(size)
        if not self.first:
            self.first, self._given = data, len(data)
        return data


def _not_a_video(first: bytes, transport: Transport, error: Any) -> str:
    if not first:
        return f"nothing that could be played came ({transport.end}); is the sender running?"
    if first.lstrip().lower().startswith(HTML):
        return (
            "this is a web page, not a stream; give the address of the stream itself, which the "
            "camera's manual or its page's source names"
        )
    return f"what comes is not a video that can be read ({error.strerror}); expected MPEG-TS, MJPEG or Matroska"


def _is_playlist(body: HttpBytes, url: SplitResult) -> bool:
    named = PurePosixPath(url.path).suffix.lower() in (".m3u8", ".m3u")
    return named or any(word in body.content_type for word in PLAYLISTS)


def _is_file(url: SplitResult, name: str, options: LiveOptions) -> bool:
    """Whether the body has a known end: then it is a file, of which no frame is dropped.

    Raises:
        InputError: no connection, or a web page.
    """
    body = HttpBytes(url, name, options.open_timeout_s)
    try:
        if body.content_type in ("text/html", "application/xhtml+xml"):
            raise InputError(f"{name}: {_not_a_video(HTML[0], body, None)}")
        return body.length is not None and not _is_playlist(body, url)
    finally:
        body.close()


def _open_pipe(options: LiveOptions, stream: int) -> LiveSource:
    """Standard input: the sender waits for the pipeline, unless `options.live` asks for the newest frame."""
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        raise InputError(
            "-: there is no standard input here; pipe a video into the command"
        ) from None
    if os.isatty(descriptor):
        raise InputError(
            "-: standard input is a terminal; pipe a video into the command, as in `cat drive.ts | perception run -`"
        )

    def connect(timeout_s: float) -> Connection:
        return _from_bytes(PipeBytes(descriptor, "standard input"), None, paced=False)

    return LiveSource("standard input", connect, live=options.live, reconnect=False, stream=stream)
