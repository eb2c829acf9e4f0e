"""Single calls over a bare socket: how long whole answers are, to compare the mean of a load's with."""

from __future__ import annotations

import socket

from bench.subject import Subject


def answer_length(port: int, subject: Subject, times: int = 5) -> list[int]:
    """Lengths in bytes of whole answers to single calls, heads included. Raises OSError when none comes."""
    lines = [f"{subject.method} {subject.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in subject.headers.items()]
    if subject.body or subject.method == "POST":
        lines.append(f"Content-Length: {len(subject.body)}")
    call = "\r\n".join([*lines, "", ""]).encode("latin-1") + subject.body
    lengths = []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for _ in range(times):
            connection.sendall(call)
            answer = bytearray()
            while not _whole(answer):
                part = connection.recv(1 << 18)
                if not part:
                    raise OSError(f"{subject.name}: closed amid an answer: {bytes(answer[:200])!r}")
                answer += part
            lengths.append(len(answer))
    return lengths


def _whole(answer: bytearray) -> bool:
    head, blank, body = bytes(answer).partition(b"\r\n\r\n")
    if not blank:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")
