"""What is wrong with a configuration, as the validators beside each setting say it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


class Mistake(ValueError):  # noqa: N818 - of whoever wrote the file, not of ours
    """A value that cannot be taken: what is wrong, and how to mend it.

    A ValueError, since that is what pydantic collects. Its two halves are fields, so that nobody has to
    find out from a sentence where the one ends and the other begins.
    """

    def __init__(self, what: str, mend: str, *, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(what, mend)
        self.what = what
        """A sentence without its full stop."""
        self.mend = mend
        """What to do about it, likewise."""
        self.at = at
        """Keys and indices from the value that was validated to the one to look at."""

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


_PRIVATE = re.compile(r"(?<=//)[^/?#]*(?=@)|(?<=[?#]).+", re.DOTALL)


def shown_url(url: str) -> str:
    """A URL as a message may quote it: without what may be a password, or a token in a query."""
    return repr(_PRIVATE.sub("…", url))


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of what there is."""
    known = list(known)
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    close = get_close_matches(name.lower().replace("-", "_"), folded, 1, 0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    if not known:
        return "there are none"
    listed = ", ".join(sorted(known)[:20]) + (", …" if len(known) > 20 else "")
    return f"there {'is' if len(known) == 1 else 'are'} {listed}"
