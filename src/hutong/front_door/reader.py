"""The strict reader of HTTP/1 requests: it delimits them, and refuses those that two readers may see differently."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

HEAD_BYTES_MAX = 32 * 1024
FIELDS_MAX = 128
TRAILER_BYTES_MAX = 8 * 1024
CHUNKS_MAX = 8_192
"""Chunks of one body: each costs work that its bytes do not."""

_CHUNK_LINE_MAX = 256
_BUFFER_MAX = 1024 * 1024

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) /[\x21-\x7e]* HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")


class Refusal(Exception):
    """A request that the front door does not let in."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Framing:
    """How the body that follows a head is delimited: by `length` bytes, or in chunks if it is None."""

    length: int | None


def read_head(head: bytes) -> Framing:
    """Check a head, without its last empty line, and return the framing of its body.

    Errors:
        Refusal: it has two readings, or is not HTTP/1.
    """
    first, *lines = head.split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None or request_line[1] == b"CONNECT":
        raise Refusal(HTTPStatus.BAD_REQUEST, "request_line")
    if len(lines) > FIELDS_MAX:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
    found: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "field")
        name = field[1].lower()
        if name in found:
            found[name].append(field[2].strip(b" \t"))
    hosts, lengths, codings = found.values()
    is_newer = request_line[2] == b"1"
    if len(hosts) > 1 or (is_newer and not hosts):
        raise Refusal(HTTPStatus.BAD_REQUEST, "host")
    if len(lengths) + len(codings) > 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "framing")
    if codings:
        if codings[0].lower() != b"chunked" or not is_newer:
            raise Refusal(HTTPStatus.BAD_REQUEST, "framing")
        return Framing(None)
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise Refusal(HTTPStatus.BAD_REQUEST, "framing")
    return Framing(int(lengths[0]) if lengths else 0)


class Reader:
    """Splits a stream of bytes into requests. It returns only bytes that a server may see, one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._step: Callable[[], bytes | None] = self._head
        self._left = 0
        self._chunks = 0
        self._trailer_bytes = 0

    @property
    def waits_for(self) -> str | None:
        """What has begun and is not complete: "head" or "body"; None between requests."""
        if self._step == self._head:
            return "head" if self._buffer else None
        return "body"

    @property
    def has_more(self) -> bool:
        """Whether bytes of a further request have arrived."""
        return self._step == self._head and bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket.

        Errors:
            Refusal: more than any client sends ahead.
        """
        self._buffer += data
        if len(self._buffer) > _BUFFER_MAX:
            raise Refusal(HTTPStatus.BAD_REQUEST, "pipelined_too_much")

    def take(self) -> bytes:
        """Return what is complete of the current request; nothing if more bytes are needed.

        Errors:
            Refusal: as `read_head`, or a body that is not framed as it should be.
        """
        pieces = []
        while (piece := self._step()) is not None:
            pieces.append(piece)
            if self._step == self._head:
                break
        return b"".join(pieces)

    def _head(self) -> bytes | None:
        if not self._searched:
            while self._buffer.startswith(b"\r\n"):  # RFC 9112, 2.2: at least one empty line before a request
                del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(self._buffer)
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        if end < 0:
            return None
        framing = read_head(bytes(self._buffer[:end]))
        self._searched = self._chunks = self._trailer_bytes = 0
        if framing.length is None:
            self._step = self._chunk_line
        elif framing.length:
            self._left, self._step = framing.length, self._length_body
        return self._cut(end + 4)

    def _length_body(self) -> bytes | None:
        if not self._buffer:
            return None
        piece = self._cut(self._left)
        self._left -= len(piece)
        if not self._left:
            self._step = self._head
        return piece

    def _chunk_line(self) -> bytes | None:
        line = self._line(_CHUNK_LINE_MAX)
        if line is None:
            return None
        size = _CHUNK.fullmatch(line)
        self._chunks += 1
        if size is None or self._chunks > CHUNKS_MAX:
            raise Refusal(HTTPStatus.BAD_REQUEST, "chunk")
        self._left = int(size[1], 16)
        self._step = self._chunk_data if self._left else self._trailer
        return b""

    def _chunk_data(self) -> bytes | None:
        if not self._buffer:
            return None
        piece = self._cut(self._left)
        self._left -= len(piece)
        if not self._left:
            self._step = self._chunk_end
        return b"%x\r\n%b\r\n" % (len(piece), piece)

    def _chunk_end(self) -> bytes | None:
        line = self._line(0)
        if line is not None:
            self._step = self._chunk_line
        return line

    def _trailer(self) -> bytes | None:
        """Drop a field after the body: what it says has not been checked with the head, so it says nothing."""
        line = self._line(TRAILER_BYTES_MAX - self._trailer_bytes)
        if line is None:
            return None
        self._trailer_bytes += len(line) + 2
        if line:
            if not _FIELD.fullmatch(line):
                raise Refusal(HTTPStatus.BAD_REQUEST, "trailer")
            return b""
        self._step = self._head
        return b"0\r\n\r\n"

    def _line(self, longest: int) -> bytes | None:
        """Cut a line without its end; None if it is not complete."""
        end = self._buffer.find(b"\r\n", 0, max(longest, 0) + 2)
        if end < 0:
            if len(self._buffer) >= max(longest, 0) + 2:
                raise Refusal(HTTPStatus.BAD_REQUEST, "line_too_long")
            return None
        return self._cut(end + 2)[:-2]

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece
