"""Links lead somewhere, and examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme

from gateway.cli import make_parser
from gateway.config import check, load
from gateway.config.document import Document
from gateway.policies import POLICIES
from tests.docs.generate import DOCS, ROOT
from tests.scenarios.proxies import KINDS

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TLS = (DOCS / "tls.md").read_text()
EXAMPLES = [
    (page.stem, example)
    for page in sorted((DOCS / "policies").glob("*.md"))
    for kind, example in FENCED.findall(page.read_text())
    if kind == "yaml"
]


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)]+)\)", FENCED.sub("", page.read_text())):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_index():
    index = (DOCS / "README.md").read_text() + (DOCS / "policies" / "README.md").read_text()
    for page in PAGES:
        if DOCS in page.parents and page != DOCS / "README.md":
            name = page.name if page.parent.name == "policies" and page.stem != "README" else None
            assert (name or str(page.relative_to(DOCS))) in index, page


class Everything(dict[str, str]):
    """An environment in which every variable is set."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return "x" * 32


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_a_policys_example_is_taken_by_its_model(page: str, example: str):
    text = re.sub(r"\{file: [^}]+\}", "{env: FILE}", example)
    document = Document(page, text.encode(), Everything(), ROOT)
    assert not document.findings
    for item in document.value:
        ((name, settings),) = item.items()
        assert POLICIES[name].model_validate(settings).describe()
    assert page == "README" or page in example


def test_every_policy_has_an_example():
    assert set(POLICIES) <= {page for page, _ in EXAMPLES}


def test_the_readmes_configuration_is_good(tmp_path: Path):
    blocks = dict(FENCED.findall((ROOT / "README.md").read_text()))
    (tmp_path / "routes.yaml").write_text(blocks["yaml"])
    assert check(tmp_path / "routes.yaml", {}) == []


@pytest.mark.parametrize("example", [text for kind, text in FENCED.findall(TLS) if kind == "yaml"])
def test_an_example_of_tls_is_good_once_its_files_are_there(example: str, tmp_path: Path):
    authority = trustme.CA()
    leaf = authority.issue_cert("gateway.example")
    (tmp_path / "tls").mkdir()
    for name in re.findall(r"tls/\S+?\.(?:pem|key)", example):
        blob = leaf.private_key_pem if "key" in name else leaf.cert_chain_pems[0]
        (authority.cert_pem if "ca" in name or "clients" in name else blob).write_to_path(tmp_path / name)
    around = "version: 1\n"
    if "upstreams:" not in example:
        around += 'upstreams: {platform: {targets: [{url: "https://platform.example"}]}}\n'
    (tmp_path / "routes.yaml").write_text(around + example)
    said = [finding.message for finding in check(tmp_path / "routes.yaml", {})]
    assert [message for message in said if "has no authentication" not in message] == []


def test_what_proxies_are_told_is_what_the_tests_tell_them():
    for name, (config, _, _) in KINDS.items():
        (told,) = [text for kind, text in FENCED.findall(TLS) if kind == name]
        for line in told.splitlines():
            assert line.strip() in config


FRAGMENTS = [example for kind, example in FENCED.findall((DOCS / "secrets.md").read_text()) if kind == "yaml"]
BASE = """\
version: 1
upstreams: {it: {targets: [{url: "http://127.0.0.1:9"}]}}
routes:
  - {name: it, match: {methods: [GET], path: /it}, upstream: it}
"""


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_an_example_of_the_page_on_secrets_is_good(fragment: str, tmp_path: Path):
    (tmp_path / "secrets").mkdir()
    for name in re.findall(r"\{file: ([^}]+)\}", fragment):
        (tmp_path / name).write_text(f"{name} with 32 bytes or more of it\n")
    (tmp_path / "routes.yaml").write_text(BASE + fragment)
    found = [str(finding) for finding in check(tmp_path / "routes.yaml", {}) if finding.severity == "error"]
    assert found == []
    assert load(tmp_path / "routes.yaml", {}).files[1:] or "file:" not in fragment


def test_commands_in_the_pages_exist():
    makefile = (ROOT / "Makefile").read_text()
    parser = make_parser()
    seen = 0
    for page in PAGES:
        for kind, block in FENCED.findall(page.read_text()):
            if kind != "sh":
                continue
            for line in block.splitlines():
                words = line.partition(" #")[0].replace("'", "").split()
                if words[:1] == ["make"]:
                    assert f"\n{words[1]}:" in makefile, line
                    seen += 1
                elif words and words[0].endswith("gateway"):
                    header = [word for word in words[1:] if word != "x-api-key:"]
                    parser.parse_args(header)
                    seen += 1
    assert seen > 10


def test_the_picture_calls_nobody():
    picture = (DOCS / "waterfall.svg").read_text()
    assert "font-face" not in picture
    assert "gateway traces" in picture.replace("&#160;", " ")
