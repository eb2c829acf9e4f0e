"""Headers set, added, removed and renamed on the way in and out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from gateway.policy import PolicyConfig


class HeaderEdits(BaseModel):
    """Edits of one message's headers, done in this order: remove, rename, set, add.

    Values may hold `{trace_id}`, `{consumer}`, `{client}` and `{route}`; `{{` and `}}` are braces.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    remove: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    """Old name to new name."""
    set: dict[str, str] = {}
    """Leaves exactly this one value."""
    add: dict[str, str] = {}
    """One value more, beside those that are there."""


class HeadersConfig(PolicyConfig):
    """Headers set, added, removed and renamed on the way in (`request`) and out (`response`)."""

    name: ClassVar[str] = "headers"
    shadows_itself: ClassVar[bool] = True

    request: HeaderEdits = HeaderEdits()
    response: HeaderEdits = HeaderEdits()
