from __future__ import annotations

import pytest

from gateway.config.paths import check_path, check_rewrite


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/a/:id/b/*", "/*", "/a.b_c~d!$&'()+,=:@-", "/caf%C3%A9", "/%25"]
)
def test_good_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "does not begin with a slash"),
        ("a", "write /a"),
        ("/a?b", "query"),
        ("/a#b", "fragment"),
        ("//a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/./a", "'.'"),
        ("/a/..", "'..'"),
        ("/*/a", "only a final"),
        ("/a*", "only a final"),
        ("/a/:", "not a name"),
        ("/:id.json", "not a name"),
        ("/:a/:a", "twice"),
        ("/{id}", "braces"),
        ("/a b", "percent-encode"),
        ("/é", "percent-encode"),
        ("/%c3", "percent-encode"),
        ("/%zz", "percent-encode"),
        ("/a;b", "percent-encode"),
        ("/%2F", "never match"),
        ("/%5C", "never match"),
        ("/%00", "never match"),
        ("/%41", "write them as they are"),
        ("/%2E", "as they are"),
        ("/%7E", "as they are"),
        ("/%39", "as they are"),
        ("/%7A", "as they are"),
        ("/%5F", "as they are"),
    ],
)
def test_bad_paths(path: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_path(path)


def test_rewrites_use_what_the_path_has() -> None:
    assert check_rewrite("/x/:b/:a/*", "/:a/:b/*") == "/x/:b/:a/*"
    assert check_rewrite("/x/:b/*") == "/x/:b/*"
    with pytest.raises(ValueError, match=r"uses :c.*the path has :a, :b"):
        check_rewrite("/:c", "/:a/:b")
    with pytest.raises(ValueError, match="end the path with"):
        check_rewrite("/*", "/a")
