"""How long a call was in the policies that mattered to it, from the marks each left when it was entered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.record import Record

SLOW_POLICY_NS = 100_000
"""A policy that held the call up for longer matters even where it decided nothing."""

_RECEIVED_NS, _ENDED_NS, _ATTEMPTS, _MARKS, _DECISIONS = (
    Record._fields.index(name) for name in ("received_ns", "ended_ns", "attempts", "marks", "decisions")
)

Decisions = tuple[tuple[str, str], ...]
"""(decision, detail) each."""


class Stay(NamedTuple):
    """One policy's hold on a call; times are the worker's."""

    policy: str
    entered_ns: int
    left_ns: int
    decisions: Decisions


def stays(record: tuple[Any, ...], names: Sequence[str]) -> list[Stay]:
    """The policies of a `Record` that decided something or took long; `names` are those of its route."""
    attempts, marks, decisions = record[_ATTEMPTS], record[_MARKS], record[_DECISIONS]
    starts = [attempt[2] for attempt in attempts]
    if not decisions and len(starts) == 1 and marks and starts[0] - marks[1] <= SLOW_POLICY_NS:
        return []  # the common case: all policies together were quick
    decided: dict[str, Decisions] = {}
    for policy, decision, detail in decisions:
        decided[policy] = (*decided.get(policy, ()), (decision, detail))
    found = []
    lefts = marks[3::2]
    lefts.append(record[_ENDED_NS])
    for index, entered_ns, left_ns in zip(marks[::2], marks[1::2], lefts, strict=False):
        if not decided and left_ns - entered_ns <= SLOW_POLICY_NS:
            continue
        for started_ns in starts:  # forwarded to the upstream before the next policy was entered
            if entered_ns <= started_ns < left_ns:
                left_ns = started_ns  # noqa: PLW2901 - the earliest counts
        name = names[index] if index < len(names) else str(index)
        said = decided.pop(name, None)
        if said is not None or left_ns - entered_ns > SLOW_POLICY_NS:
            found.append(Stay(name, entered_ns, max(entered_ns, left_ns), said or ()))
    # Then what was decided by something that no mark tells of.
    if decided:
        received_ns = record[_RECEIVED_NS]
        found += [Stay(name, received_ns, received_ns, said) for name, said in decided.items()]
    return found
