"""The documents are complete, current and lead somewhere; the files hold nothing of one machine."""

import ast
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.project.source import ROOT, modules, place, text_files

DECISIONS = ROOT / "docs" / "decisions"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)

# Registries and their file hosts, in pieces, so that this file does not find itself.
HOSTS = [
    "pythonhosted" + ".org",
    "pypi" + ".org",
    "registry.npmjs" + ".org",
    "deb.debian" + ".org",
    "crates" + ".io",
    "proxy.golang" + ".org",
    "repo1.maven" + ".org",
]
ADDRESS = re.compile(
    "|".join(
        [
            r"--(extra-)?index-url",
            r"--find-links",
            r"https?://\S+\.(whl|tar\.gz|tgz|zip|jar|crate)\b",
            *(re.escape(host) for host in HOSTS),
        ]
    )
)
# Directories of whoever worked on it last.
MACHINE = re.compile(r"(?<![\w.:/-])/(" + "|".join(["work", "home/\\w", "root", "Users"]) + r")/")


def _markdown() -> list[tuple[Path, str]]:
    return [(path, FENCE.sub("", text)) for path, text in text_files() if path.suffix == ".md"]


def test_links_lead_to_files() -> None:
    """A relative link in any document names a file or directory that exists, and a heading in it."""
    broken = []
    for path, text in _markdown():
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, heading = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                broken.append(f"{place(path)}: {target}")
            elif heading and file.suffix == ".md" and heading not in _anchors(file):
                broken.append(f"{place(path)}: {target}: no such heading")
    assert not broken, "\n".join(broken)


def _anchors(path: Path) -> set[str]:
    """The anchors that a forge gives to a document's headings."""
    headings = re.findall(r"^#+\s+(.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


def test_each_decision_is_listed() -> None:
    """docs/decisions/README.md links every decision, once, and they are numbered without gaps."""
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    listed = [
        target
        for target in LINK.findall((DECISIONS / "README.md").read_text("utf-8"))
        if re.match(r"\d{4}-", target)
    ]
    assert sorted(listed) == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))


def test_each_decision_tells_its_price() -> None:
    """A decision says what was decided, why, and what it costs."""
    for path in DECISIONS.glob("[0-9]*.md"):
        text = path.read_text("utf-8")
        for heading in ("## Decision", "## Why", "## Price"):
            assert heading in text, f"{place(path)}: has no {heading!r}"


def test_generated_documents_are_current() -> None:
    """What `make docs` writes is what is there."""
    script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
    documents: dict[Path, Callable[[], str]] = script["DOCUMENTS"]
    assert documents
    for path, write in documents.items():
        assert path.read_text("utf-8") == write(), f"{place(path)} is old: run `make docs`"


def test_every_setting_is_described() -> None:
    """Every setting and limit stands in docs/configuration.md with what it does."""
    script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for names in (script["settings"](), script["limits"]()):
        assert names
        for setting in names:
            assert setting.description.strip().endswith("."), f"{setting.name}: no sentence"
            assert f"| `{setting.name}` |" in text


def test_every_setting_is_read() -> None:
    """A setting that nothing asks for would promise what it does not do."""
    script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
    asked = {
        node.attr
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    for names in (script["settings"](), script["limits"]()):
        assert not [setting.name for setting in names if setting.name not in asked]


def test_no_file_names_a_registry_or_a_machine() -> None:
    """Nothing here depends on where packages came from or on a directory of one machine."""
    found = [
        f"{place(path, number)}: {line.strip()[:100]}"
        for path, text in text_files()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), start=1)
        if ADDRESS.search(line) or MACHINE.search(line)
    ]
    assert not found, "\n".join(found)
