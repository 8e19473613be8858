"""The documentation's links lead somewhere, and its indexes are complete."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_relative_links_lead_to_files() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages()
        for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(["", *broken])


def test_anchors_of_links_are_there() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}#{anchor}"
        for page in pages()
        for target, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)#([^)]+)", page.read_text())
        if anchor not in anchors_of(page.parent / target if target else page)
    ]
    assert not broken, "\n".join(["", *broken])


def anchors_of(page: Path) -> set[str]:
    """Return what a link into a page may name: its explicit anchors, and its headings as hosts write them."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    written = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return written | set(re.findall(r'<a id="([^"]+)"', text))


def test_files_that_pages_name_are_there() -> None:
    """A name in code style may leave out the folders before it, as `commands/deletion.py` in a room's README does."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    there = {f"/{name}" for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    there |= {str(folder) for file in there for folder in Path(file).parents}
    broken = []
    for page in pages():
        # What was renamed since is history there.
        if page.name == "CHANGELOG.md":
            continue
        for name in re.findall(r"`([\w./-]+?)(?:::\w+)?`", page.read_text()):
            module = name.endswith((".py", ".mako")) and not any(path.endswith(f"/{name}") for path in there)
            path = re.match(r"(services|gateway|deploy|tests|docs|portal|clients)/[\w./-]+$", name) is not None
            if module or (path and not any(known.endswith(f"/{name.rstrip('/')}") for known in there)):
                broken.append(f"{page.relative_to(ROOT)} -> {name}")
    assert not broken, "\n".join(["", *broken])


def test_every_page_is_in_the_index_of_its_folder() -> None:
    missing = [
        str(page.relative_to(ROOT))
        for folder in ("explanation", "how-to", "reference", "tutorial")
        for page in sorted((ROOT / "docs" / folder).glob("*.md"))
        if page.name != "README.md" and f"({page.name})" not in (page.parent / "README.md").read_text()
    ]
    assert missing == []


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert [
        page.name for page in sorted((ROOT / "docs/decisions").glob("0*.md")) if f"({page.name})" not in index
    ] == []


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for page in pages() for word in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert named - targets == set()


RULES = "docs/reference/rules.md"
# Letters that were once used for experiments, faults and plans are among them, so that none of these comes back.
RULE = r"(?:(?:ACC|PRJ|BAL|DEV|LIC|HIS|POR|EDGE)-[1-9]\d?|[BDEFGILOPRS][1-9]\d?[a-e]?)"


def rule_ids(text: str) -> set[str]:
    """Return the ids of rules that a text names; `L1 to L3` and `L1-L3` name all between, suppressed lints none."""
    text = re.sub(r"# noqa.*", "", text)
    named = set(re.findall(rf"(?<![\w%/#.-]){RULE}(?![\w-])", text))
    for kind, first, last in re.findall(r"(?<![\w%/#.-])([A-Z]+-?)(\d+)(?: to |-)\1(\d+)(?!\w)", text):
        numbered = {f"{kind}{number}" for number in range(int(first), int(last) + 1)}
        named |= {name for name in numbered if re.fullmatch(RULE, name)}
    return named


def named_rules() -> dict[str, set[str]]:
    """Return which files name which rules; the page of the rules and this file with its examples do not count."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.md", "*.toml", "*.yml", "Makefile"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    named: dict[str, set[str]] = {}
    for name in listed.stdout.splitlines():
        if name not in {RULES, "tests/test_docs.py"} and (ROOT / name).exists():
            for rule in rule_ids((ROOT / name).read_text()):
                named.setdefault(rule, set()).add(name)
    return named


def test_ids_of_rules_are_read_from_texts() -> None:
    text = "(rules G2 to G4, ACC-3), L1-L3; `%D9%A3`, E6-THEFT, 00-90-33-B7-07-07 and sha512-S1/x # noqa: S3"
    assert rule_ids(text) == {"G2", "G3", "G4", "ACC-3", "L1", "L2", "L3"}


def test_every_rule_that_is_named_is_on_the_page_of_rules_and_the_other_way() -> None:
    anchors = re.findall(r'<a id="([^"]+)"></a>(\S+) \|', (ROOT / RULES).read_text())
    assert [pair for pair in anchors if pair[0] != pair[1]] == []
    told = [anchor for anchor, _ in anchors]
    assert sorted({rule for rule in told if told.count(rule) > 1}) == []
    named = named_rules()
    missing = {rule: sorted(files) for rule, files in named.items() if rule not in told}
    assert missing == {}
    assert sorted(set(told) - set(named)) == []
