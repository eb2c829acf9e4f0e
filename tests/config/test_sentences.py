from __future__ import annotations

import pytest

from gateway.config.sentences import name_of, sentence, split, suggest
from gateway.config.shapes import Shape


def test_a_guess_or_what_there_is() -> None:
    assert suggest("reset-after", ["reset_after", "window"]) == "did you mean 'reset_after'?"
    assert suggest("Cache", ["cache"]) == "did you mean 'cache'?"
    assert suggest("x", ["cache", "alpha"]) == "there are alpha, cache"
    assert suggest("x", ["cache"]) == "there is cache"
    assert suggest("x", []) == "there are none"
    assert suggest("zz", [f"name{n:02}" for n in range(30)]).endswith("name19, …")


@pytest.mark.parametrize(
    ("message", "halves"),
    [
        ("it is wrong: mend it", ("it is wrong", "mend it")),
        ("'a: b' is wrong: mend it", ("'a: b' is wrong", "mend it")),
        ("it doesn't fit: don't", ("it doesn't fit", "don't")),
        ("needs strategy: x; leave it out", ("needs strategy: x", "leave it out")),
        ("it is wrong", ("it is wrong", "")),
        ("policy: {a: 1} is wrong: mend it", ("policy: {a", "1} is wrong: mend it")),
    ],
)
def test_messages_are_split_into_what_and_how(message: str, halves: tuple[str, str]) -> None:
    assert split(message, ["strategy"]) == halves


def test_an_error_without_words_of_its_own_is_still_a_sentence() -> None:
    shape = Shape((), {})
    told = sentence("odd_error", "Input should be even", {}, name="a.b", shape=shape, value=3)
    assert told == ("a.b is not valid: it should be even", "")


def test_a_validator_that_knows_only_its_subject() -> None:
    shape = Shape((), {})
    told = sentence("value_error", "", {"error": "must be odd"}, name="a.b", shape=shape, value=3)
    assert told == ("a.b must be odd", "")


def test_a_choice_that_a_validator_made_gets_a_guess() -> None:
    shape = Shape((), {})
    told = sentence(
        "value_error", "", {"error": "'jtw' is not one of jwt, basic"}, name="a", shape=shape, value="jtw"
    )
    assert told == ("'jtw' is not known here", "did you mean 'jwt'?")
    told = sentence(
        "value_error", "", {"error": "'x' is no code: use one of AB, CD"}, name="a", shape=shape, value="x"
    )
    assert told == ("'x' is no code", "use one of AB, CD")


def test_names_are_short_for_the_place_tells_the_rest() -> None:
    assert name_of(("upstreams", "a", "timeout")) == "upstreams.a.timeout"
    assert name_of(("routes", 0, "match", "path")) == "match.path"
    assert name_of(("targets", 1)) == "targets[2]"
    assert name_of((3, "cache", "ttl")) == "cache.ttl"
