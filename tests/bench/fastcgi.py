"""As much of FastCGI as one request to php-fpm needs."""

import socket
import struct
import time
from pathlib import Path

RESPONDER = 1
BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7


def get(script: Path) -> bytes:
    """The records of a GET request for a script."""
    params = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"/{script.name}",
        "SCRIPT_NAME": f"/{script.name}",
        "SCRIPT_FILENAME": str(script),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": "",
    }
    pairs = b"".join(_length(name) + _length(value) + name.encode() + value.encode() for name, value in params.items())
    begin = struct.pack(">HB5x", RESPONDER, 0)
    return _record(BEGIN, begin) + _record(PARAMS, pairs) + _record(PARAMS, b"") + _record(STDIN, b"")


def answer(connection: socket.socket) -> tuple[bytes, bytes, float]:
    """What came on stdout and stderr, and when the first of stdout came."""
    out, errors, first = b"", b"", None
    while True:
        kind, length, padding = struct.unpack(">xB2xHBx", _exactly(connection, 8))
        content = _exactly(connection, length)
        _exactly(connection, padding)
        if kind == STDOUT and content:
            first = first or time.perf_counter()
            out += content
        elif kind == STDERR:
            errors += content
        elif kind == END:
            return out, errors, first or time.perf_counter()


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def _length(text: str) -> bytes:
    size = len(text.encode())
    return bytes([size]) if size < 128 else struct.pack(">I", size | 0x80000000)


def _exactly(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = connection.recv(count - len(got))
        if not piece:
            raise ConnectionError("php-fpm closed the connection before its answer was complete")
        got += piece
    return got
