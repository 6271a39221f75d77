"""Bytes that arrive on their own: TCP, UDP, HTTP and pipes, with a time-out and a way to end a waiting read.

FFmpeg's own protocols offer neither to Python, so these streams are read here and handed to its demuxers. Every
transport has `read(size)`, which returns b"" at the end and leaves the reason in `end`, and `close()`, which
may be called from any thread and wakes a waiting read.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlunsplit

from perception.errors import InputError

# A receiving socket looks this often whether it was closed.
LOOK_S = 0.25
UDP_BUFFER = 4 << 20
ENDED = "the sender ended the stream"


class Transport:
    """What the transports share: a time-out, an end, and its reason."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.end = ENDED
        self.closed = False
        self._over = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at the end, which is told in `end`."""
        if self._over:
            return b""
        try:
            data = self._receive(size)
            self._over = not data
        except TimeoutError:
            self.end, self._over = f"nothing arrived for {self.timeout_s:g} s", True
            return b""
        except (OSError, ValueError, HTTPException) as error:
            self.end, self._over = getattr(error, "strerror", None) or str(error), True
            return b""
        return data

    def _receive(self, size: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """Idempotent, from any thread; ends a waiting read."""
        self.closed = True


class TcpBytes(Transport):
    """Bytes from a TCP peer: connects to it, or with `?listen=1` waits for it to connect.

    Raises:
        InputError: unknown host, refused, no answer.
    """

    def __init__(self, url: SplitResult, name: str, timeout_s: float) -> None:
        super().__init__(name, timeout_s)
        host, port = host_and_port(url, name)
        if parse_qs(url.query).get("listen", ["0"])[0] not in ("0", ""):
            self._socket = self._accepted(host, port)
        else:
            with network_errors(name, host, port):
                self._socket = socket.create_connection((host, port), timeout_s)

    def _accepted(self, host: str, port: int) -> socket.socket:
        try:
            server = socket.create_server((host or "0.0.0.0", port))
        except OSError as error:
            raise InputError(
                f"{self.name}: port {port} cannot be listened on ({error.strerror}); is it in use?"
            ) from None
        with server:
            server.settimeout(self.timeout_s)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                raise InputError(
                    f"{self.name}: nobody connected within {self.timeout_s:g} s; start the sender first"
                ) from None
        connection.settimeout(self.timeout_s)
        return connection

    def _receive(self, size: int) -> bytes:
        self._socket.settimeout(self.timeout_s)
        return self._socket.recv(size)

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class UdpBytes(Transport):
    """Datagrams to a local port, also of a multicast group (`udp://239.1.2.3:5000`, `udp://:5000`).

    Raises:
        InputError: the port cannot be had, or the group not be joined.
    """

    def __init__(self, url: SplitResult, name: str, timeout_s: float) -> None:
        super().__init__(name, timeout_s)
        host, port = host_and_port(url, name)
        with network_errors(name, host, port):
            family, _, _, _, address = socket.getaddrinfo(
                host or "0.0.0.0", port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )[0]
        self._rest = b""
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER)
            self._socket.bind(address)
            group = ipaddress.ip_address(str(address[0]))
            if group.is_multicast and group.version == 4:
                request = group.packed + socket.inet_aton("0.0.0.0")
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        except OSError as error:
            self._socket.close()
            raise InputError(
                f"{name}: port {port} cannot be received on ({error.strerror}); give an address of this "
                "machine or a multicast group, and a port that is free"
            ) from None
        self._socket.settimeout(min(LOOK_S, timeout_s))

    def _receive(self, size: int) -> bytes:
        start = monotonic()
        while not self._rest and not self.closed:
            try:
                self._rest = self._socket.recv(65536)
            except TimeoutError:
                if monotonic() - start > self.timeout_s:
                    raise
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class PipeBytes(Transport):
    """Bytes from a descriptor, such as standard input; waits as long as it takes."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(name, float("inf"))
        self._descriptor = descriptor
        self._woken, self._wake = os.pipe()

    def _receive(self, size: int) -> bytes:
        if self.closed:
            return b""
        ready, _, _ = select.select([self._descriptor, self._woken], [], [])
        return b"" if self._woken in ready else os.read(self._descriptor, size)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.write(self._wake, b".")

    def __del__(self) -> None:
        for descriptor in (self._woken, self._wake):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class HttpBytes(Transport):
    """The body of an HTTP answer, which may have no end.

    User and password of the address answer Basic and Digest challenges.

    Attributes:
        content_type: as the server says, lower case, without parameters.
        length: bytes, when the server says so: then it is a file, not a stream.

    Raises:
        InputError: unknown host, refused, wrong password, not found.
    """

    def __init__(self, url: SplitResult, name: str, timeout_s: float) -> None:
        super().__init__(name, timeout_s)
        plain = url._replace(netloc=url.netloc.rpartition("@")[2], fragment="")
        address = urlunsplit(plain)
        request = urllib.request.Request(address, headers={"User-Agent": "perception"})
        with network_errors(
            name, url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        ):
            self._response: HTTPResponse = _opener(url, address).open(request, timeout=timeout_s)
        self.content_type = self._response.headers.get_content_type()
        self.length = self._response.length
        # The response reads through layers of its own; a second handle on the connection can end that.
        self._handle = socket.socket(fileno=os.dup(self._response.fileno()))

    def _receive(self, size: int) -> bytes:
        return self._response.read1(size)

    def close(self) -> None:
        if not self.closed:
            super().close()
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)
            self._handle.close()

    def __del__(self) -> None:
        if hasattr(self, "_response"):
            self.close()
            self._response.close()


def _opener(url: SplitResult, address: str) -> urllib.request.OpenerDirector:
    handlers: list[Any] = []
    if _is_near(url.hostname or ""):
        # Proxies are for the world outside, cameras are in the house.
        handlers.append(urllib.request.ProxyHandler({}))
    if url.username is not None:
        words = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user, password = credentials(url)
        words.add_password(None, address, user, password)
        handlers.append(urllib.request.HTTPBasicAuthHandler(words))
        handlers.append(urllib.request.HTTPDigestAuthHandler(words))
    return urllib.request.build_opener(*handlers)


def credentials(url: SplitResult) -> tuple[str, str]:
    """User and password of an address, percent signs resolved."""
    from urllib.parse import unquote

    return unquote(url.username or ""), unquote(url.password or "")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host


def host_and_port(url: SplitResult, name: str) -> tuple[str, int]:
    """Of an address that must have a port.

    Raises:
        InputError: it has none.
    """
    try:
        port = url.port
    except ValueError:
        port = None
    if port is None:
        raise InputError(
            f"{name}: the address needs a port from 1 to 65535, as in {url.scheme}://host:5000"
        )
    return (url.hostname or "").lstrip("@"), port


@contextlib.contextmanager
def network_errors(name: str, host: str, port: int) -> Iterator[None]:
    """One clear sentence for whatever keeps a connection from being made."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise InputError(f"{name}: {answer(error.code, error.reason)}") from None
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))
        raise InputError(f"{name}: {why(reason, host, port)}") from None
    except HTTPException:
        raise InputError(
            f"{name}: port {port} of {host} does not speak HTTP; check the port, or try rtsp:// or tcp://"
        ) from None
    except ValueError as error:
        raise InputError(f"{name}: is not an address that can be opened ({error})") from None
    except OSError as error:
        raise InputError(f"{name}: {why(error, host, port)}") from None


def why(error: OSError, host: str, port: int) -> str:
    """A connection that could not be made, and what to try."""
    if isinstance(error, socket.gaierror):
        return f"the host {host} is not known; check its spelling, or give its IP address"
    if isinstance(error, ConnectionRefusedError):
        return f"{host} refused the connection to port {port}; is the camera's server on, and the port right?"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"{host} did not answer on port {port}; is it switched on and in the same network?"
    if isinstance(error, ssl.SSLError):
        return f"{host} and this machine agree on no secure connection ({error.reason}); try http:// or another port"
    return f"{host} cannot be reached on port {port} ({error.strerror or error})"


def answer(code: int, reason: str) -> str:
    """An HTTP or RTSP status that is a refusal, and what to try."""
    if code in (401, 407):
        return "the server wants another user or password; give them as scheme://user:password@host/..."
    if code == 403:
        return "the server forbids this address to this user; use an account that may watch"
    if code == 404:
        return "the server knows no such stream; check the path after the host"
    return f"the server refused with {code} {reason}; look at the camera's own page or log"
