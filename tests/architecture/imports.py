"""Which module imports which, read from the source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported name. ``target`` is as deep as the statement goes: ``from a.b import c`` has ``a.b.c``."""

    module: str
    target: str
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"

    def is_of(self, package: str) -> bool:
        """True when the target is ``package`` or something in it."""
        return self.target == package or self.target.startswith(f"{package}.")


def imports_of(source: str, module: str) -> Iterator[Import]:
    """Every import in ``source``, wherever it stands; under ``if TYPE_CHECKING`` it is for the type checker only."""
    yield from _walk(ast.parse(source), module, typing_only=False)


def modules_in(src: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module below ``src``."""
    for path in sorted(src.rglob("*.py")):
        parts = list(path.relative_to(src).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        yield ".".join(parts), path


def imports_in(src: Path) -> list[Import]:
    """Every import of every module below ``src``."""
    return [found for name, path in modules_in(src) for found in imports_of(path.read_text(), name)]


def _walk(node: ast.AST, module: str, *, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, alias.name, child.lineno, typing_only)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(module, f"{child.module}.{alias.name}", child.lineno, typing_only)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            for branch in child.body:
                yield from _walk(ast.Module([branch], []), module, typing_only=True)
            for branch in child.orelse:
                yield from _walk(ast.Module([branch], []), module, typing_only=typing_only)
        else:
            yield from _walk(child, module, typing_only=typing_only)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
