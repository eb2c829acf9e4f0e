"""A streamed request body on its way out, framed as its head announced it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.errors import Refused
from gateway.exchange import Attempt
from gateway.stream import Stream


async def upload(
    body: Stream,
    length: int | None,
    attempt: Attempt,
    *,
    write: Callable[[bytes], object],
    full: Callable[[], Awaitable[None] | None],
) -> None:
    """Hand the body over piece by piece, in chunks where `length` is None.

    `full` gives something to wait for while the socket takes no more. Raises what the body's source
    failed with, and Refused where the body is shorter or longer than announced: the upstream would
    read what is missing or left over as part of another request.
    """
    while data := await body.read():
        attempt.request_bytes += len(data)
        if length is None:
            write(b"%x\r\n%b\r\n" % (len(data), data))
        elif attempt.request_bytes > length:
            break
        else:
            write(data)
        if (room := full()) is not None:
            await room
    if length is None:
        write(b"0\r\n\r\n")
    elif attempt.request_bytes != length:
        raise Refused("BAD_REQUEST", "The body does not have the length that was announced")
