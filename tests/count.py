#!/usr/bin/env python3
"""Counts what a reader of the sources has to carry: python3 tests/count.py [ROOT]

Production code is every .rs file below src/ and crates/*/src/, less what is compiled for tests only: files and folders
named tests, testing, table or laws that a `#[cfg(test)] mod` or a `#[doc(hidden)] mod` names, and everything from `#[cfg(test)] mod NAME {` on.
Lines are counted without blanks and without comments. Ink is every character of a function's text, from `fn` to its last
brace, that is neither blank nor in a comment. A file circle is a group of two or more files of one folder that name each
other, by `super::` or `crate::`, in both directions.
"""

import re
import statistics
import sys
from collections import Counter
from pathlib import Path

STRING = re.compile(r'r(#*)".*?"\1|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', re.S)


def files_of(root):
    folders = [root / "src", *sorted((root / "crates").glob("*/src"))]
    return sorted(path for folder in folders for path in folder.rglob("*.rs"))


def test_files(paths):
    """The files that some `#[cfg(test)] mod name;` names, and what is below them."""
    skipped = set()
    for path in paths:
        home = path.parent if path.name in ("mod.rs", "lib.rs", "main.rs") else path.with_suffix("")
        pattern = r"#\[(?:cfg\(test\)|doc\(hidden\))\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?mod (\w+);"
        for name in re.findall(pattern, path.read_text()):
            skipped |= {other for other in paths if other == home / f"{name}.rs" or home / name in other.parents}
    return skipped


def blanked(text):
    """The text with comments taken out and strings emptied, line by line as before."""
    out, at = [], 0
    for match in re.finditer(STRING.pattern + r"|//[^\n]*|/\*.*?\*/", text, re.S):
        out.append(text[at : match.start()])
        piece = match.group()
        is_comment = piece.startswith(("//", "/*"))
        kept = "" if is_comment else '"' + "x" * max(len(re.sub(r"\s", "", piece)) - 2, 0) + '"'
        out.append(kept + "\n" * piece.count("\n"))
        at = match.end()
    return "".join(out) + text[at:]


def functions(code):
    """(lines, ink, arguments) of each function with a body."""
    for match in re.finditer(r"\bfn \w+", code):
        opened = re.compile(r"[{;]").search(code, match.end())
        while opened and opened.group() == ";" and code[: opened.start()].count("[") != code[: opened.start()].count("]"):
            opened = re.compile(r"[{;]").search(code, opened.end())
        if not opened or opened.group() == ";":
            continue
        depth, end = 0, opened.start()
        while end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
            if depth == 0:
                break
        text = code[match.start() : end]
        yield len([line for line in text.splitlines() if line.strip()]), len(re.sub(r"\s", "", text)), code[match.end() : opened.start()]


def circles(paths, texts):
    """Groups of files, per folder, that name each other."""
    found = []
    for folder in sorted({path.parent for path in paths}):
        inside = {path.stem: path for path in paths if path.parent == folder and path.stem not in ("mod", "lib", "main")}
        names = {name: {other for other in inside if other != name
                        and re.search(rf"\b(?:super|{folder.name})::(?:\{{[^}}]*\b)?{other}\b", texts[path])}
                 for name, path in inside.items()}
        reach = {name: set(of) for name, of in names.items()}
        for _ in names:
            for name in names:
                reach[name] |= set().union(*(reach[other] for other in reach[name]), set())
        groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in names if name in reach[name]}
        found += [f"{folder.name}: {' '.join(sorted(group))}" for group in groups]
    return sorted(found)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    paths = files_of(root)
    tests = test_files(paths)
    paths = [path for path in paths if path not in tests]
    texts, long_lines = {}, 0
    for path in paths:
        text = re.split(r"^#\[cfg\(test\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{", path.read_text(), maxsplit=1, flags=re.M)[0]
        long_lines += sum(len(line) > 100 for line in text.splitlines())
        texts[path] = blanked(text)
    code = "\n".join(texts.values())
    types = Counter(re.findall(r"\b(?:struct|enum|trait|type) (\w+)", re.sub(r"^    type \w+ = .*$", "", code, flags=re.M)))
    functions_found = [found for text in texts.values() for found in functions(text)]
    rows = [
        ("lines of production code", sum(1 for line in code.splitlines() if line.strip())),
        ("files", len(paths)),
        ("types", sum(types.values())),
        ("type names defined twice or more", sum(1 for count in types.values() if count > 1)),
        ("`pub` items", len(re.findall(r"^\s*pub (?:const |async |unsafe )*(?:fn|struct|enum|trait|type|mod|use|const|static)\b", code, re.M))),
        ("functions", len(functions_found)),
        ("functions over 50 lines", sum(lines > 50 for lines, _, _ in functions_found)),
        ("median lines a function", statistics.median(lines for lines, _, _ in functions_found)),
        ("median ink a function", statistics.median(ink for _, ink, _ in functions_found)),
        ("lines over 100 columns", long_lines),
        ("functions with a tuple parameter", sum(bool(re.search(r"[(,]\s*\([^()]*\): \(|: &?\((?!\))[^()]*,", arguments.split("->")[0])) for _, _, arguments in functions_found)),
        ("file circles", len(circles(paths, texts))),
    ]
    for name, value in rows:
        print(f"{name:36} {value:>8}")
    for circle in circles(paths, texts):
        print(f"    {circle}")


main()
