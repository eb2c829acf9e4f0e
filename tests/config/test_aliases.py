from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import Document


def read(text: str) -> Document:
    return Document("f", text.encode(), {}, Path())


def told(text: str) -> list[str]:
    return [f"{finding.line}:{finding.column} {finding.message}" for finding in read(text).findings]


def test_an_alias_costs_one_error_and_nothing_is_missing_for_it() -> None:
    document = read("a: &x {b: [1, 2]}\nc: *x\nd: [*x, 3]\n")
    assert document.value == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": [{"b": [1, 2]}, 3]}
    assert [finding.line for finding in document.findings] == [2, 3]


def test_the_place_is_the_aliass_own_whatever_stands_before_it() -> None:
    assert told("ж: &x 'жук'  # *x\nб: [{в: 1}, *x]\n") == ["2:13 the alias *x is not read"]
    assert told("- &x a\n-\n  b: 1\n- *x\n- - *x\n  - c\n- *x\n") == [
        "4:3 the alias *x is not read",
        "5:5 the alias *x is not read",
        "7:3 the alias *x is not read",
    ]
    assert sorted(told("a: &x 1\na: &y 2\nc: *y\n")) == [
        "2:1 the key 'a' stands twice, first on line 1",
        "3:4 the alias *y is not read",
    ]
    assert sorted(told("&k a: *k\n*k : 1\n")) == [
        "1:1 the key 'a' stands twice, first on line 1",
        "1:7 the alias *k is not read",
        "2:1 the alias *k is not read",
    ]


def test_a_merge_key_costs_one_error_whatever_it_merges() -> None:
    document = read("a: &x {b: 1, c: 2}\nd: &y {b: 3, e: 4}\nf:\n  c: 5\n  <<: [*x, *y]\ng: {<<: {h: 6}}\n")
    assert document.value["f"] == {"b": 1, "c": 5, "e": 4}
    assert document.value["g"] == {"h": 6}
    assert [finding.message for finding in document.findings] == ["merge keys (`<<`) are not read"] * 2


def test_what_is_merged_need_not_be_a_mapping() -> None:
    assert read("a: {<<: 5, b: 1}").value == {"a": {"b": 1}}
    assert read("a: &x {<<: *x, b: 1}").value == {"a": {"b": 1}}


def test_an_alias_within_what_it_names_is_not_followed() -> None:
    document = read("a: &x [1, *x]")
    assert document.value == {"a": [1, None]}
    assert document.reference(("a", 1)) == ""


def _count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


def test_aliases_of_aliases_stay_few() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    document = read("\n".join(lines))
    assert len(document.findings) == 90
    assert _count(document.value) < 20_000


def test_aliases_of_aliases_stay_flat() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]
    value, depth = read("\n".join(lines)).value["a199"], 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    assert depth < 60


def test_what_only_aliases_name_is_told_apart() -> None:
    document = read("a: &x {b: 1}\nc: [&y 1, &z 2]\nd: {e: &v 1, f: 2}\ng: [*x, *y, *z, *v]\nh: []\n")
    assert [key for key in document.value if document.is_source((key,))] == ["a", "c", "g"]
    assert not read("").is_source(())


@given(
    st.recursive(
        st.sampled_from(["1", "ж", '"a b"', "*x", "{env: NAME}"]),
        lambda inner: (
            st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
            | st.lists(inner, max_size=4).map(
                lambda items: "{" + ", ".join(f"k{n}: {item}" for n, item in enumerate(items)) + "}"
            )
        ),
        max_leaves=20,
    )
)
def test_every_alias_is_found_where_it_stands(text: str) -> None:
    text = f"- &x 0\n- {text}\n"
    line = text.splitlines()[1]
    found = [finding.column for finding in read(text).findings if "alias" in finding.message]
    assert found == [index + 1 for index, letter in enumerate(line) if letter == "*"]
