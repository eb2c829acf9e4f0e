"""The paths of routes and rewrites: what they may look like."""

from __future__ import annotations

import re

from gateway.mistakes import Mistake

_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,=:@-]|%[0-9A-F]{2})*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNRESERVED = re.compile(r"%(?:2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])")
_DANGEROUS = re.compile(r"%(?:2F|5C|00)")


def check_path(path: str) -> str:
    """A route's path: canonical, as the edge makes the paths it is compared with. ValueError otherwise."""
    names = [segment[1:] for segment in _segments(path) if segment[:1] == ":"]
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"the path names :{name} twice", "give the segments different names")
    return path


def check_rewrite(rewrite: str, path: str | None = None) -> str:
    """A rewrite, alone or against the `path` whose segments it may use. ValueError where it does not fit."""
    segments = _segments(rewrite)
    if path is not None:
        known = [segment for segment in path.split("/") if segment[:1] == ":"]
        for segment in segments:
            if segment[:1] == ":" and segment not in known:
                mend = f"the path has {', '.join(known)}" if known else "the path has no :name segments"
                raise Mistake(f"the rewrite uses {segment}, which the path {path} does not have", mend)
        if segments[-1] == "*" and not path.endswith("/*"):
            raise Mistake(
                f"the rewrite ends with /*, which the path {path} does not have", "end the path with /* too"
            )
    return rewrite


def _segments(path: str) -> list[str]:
    if not path.startswith("/"):
        raise Mistake(f"the path {path!r} does not begin with a slash", f"write {'/' + path}")
    if "?" in path or "#" in path:
        raise Mistake(f"the path {path!r} holds a query or fragment", "remove it: routes match paths")
    if "//" in path:
        raise Mistake(f"the path {path!r} holds an empty segment", "write one slash, not two")
    segments = path[1:].split("/")
    for index, segment in enumerate(segments):
        if segment in (".", ".."):
            raise Mistake(f"the path {path!r} holds {segment!r}", "write the path it leads to")
        if "*" in segment:
            if segment != "*" or index < len(segments) - 1:
                raise Mistake(f"in {path!r} a * stands where it has no meaning", "only a final /* has one")
        elif segment[:1] == ":":
            if not _NAME.fullmatch(segment[1:]):
                raise Mistake(
                    f"{segment!r} is not a name for a segment",
                    "write : and one word for all of it, like :game",
                )
        elif "{" in segment or "}" in segment:
            raise Mistake(f"the path {path!r} holds braces", "write :id for a segment that varies")
        elif not _SEGMENT.fullmatch(segment):
            raise Mistake(
                f"the path {path!r} holds characters that paths may not", "percent-encode them in upper case"
            )
        elif _DANGEROUS.search(segment):
            raise Mistake(
                f"the path {path!r} holds an encoded slash, backslash or NUL",
                "remove it: such requests never match",
            )
        elif _UNRESERVED.search(segment):
            raise Mistake(f"the path {path!r} encodes characters that need none", "write them as they are")
    return segments
