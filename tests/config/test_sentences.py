from __future__ import annotations

from gateway.config.sentences import name_of, sentence
from gateway.config.shapes import Shape
from gateway.mistakes import Mistake


def test_an_error_without_words_of_its_own_is_still_a_sentence() -> None:
    shape = Shape((), {})
    told = sentence("odd_error", "Input should be even", {}, name="a.b", shape=shape, value=3)
    assert told == ("a.b is not valid: it should be even", "")


def test_a_validator_says_its_two_sentences_itself() -> None:
    mistake = Mistake("`a: 1` is odd", "write `a: 2`")
    shape = Shape((), {})
    told = sentence("value_error", str(mistake), {"error": mistake}, name="a", shape=shape, value=1)
    assert told == ("`a: 1` is odd", "write `a: 2`")


def test_names_are_short_for_the_place_tells_the_rest() -> None:
    assert name_of(("upstreams", "a", "timeout")) == "upstreams.a.timeout"
    assert name_of(("routes", 0, "match", "path")) == "match.path"
    assert name_of(("targets", 1)) == "targets[2]"
    assert name_of((3, "cache", "ttl")) == "cache.ttl"
