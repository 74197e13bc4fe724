"""Rules of structure that neither ruff nor import-linter checks: sizes, docstrings, and what may be caught."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "alert_sync"
MODULES = sorted(SOURCE.rglob("*.py"))

LONGEST_FUNCTION = 30
LONGEST_MODULE = 300

pytestmark = pytest.mark.parametrize("module", MODULES, ids=[path.relative_to(SOURCE).as_posix() for path in MODULES])


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def functions_of(module: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef))


def lines_of(function: ast.FunctionDef) -> int:
    """From the line of `def` to the last one, the docstring not counted."""
    first = function.body[0]
    docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(tree_of(module))


def test_module_can_be_read_in_one_sitting(module: Path) -> None:
    written = [line for line in module.read_text(encoding="utf-8").splitlines() if line.strip()]

    assert len(written) <= LONGEST_MODULE


def test_functions_fit_on_a_screen(module: Path) -> None:
    too_long = {
        function.name: lines_of(function) for function in functions_of(module) if lines_of(function) > LONGEST_FUNCTION
    }

    assert too_long == {}


def test_errors_are_caught_by_name(module: Path) -> None:
    caught = [node.type for node in ast.walk(tree_of(module)) if isinstance(node, ast.ExceptHandler)]
    names = {ast.unparse(each) if each is not None else "everything" for each in caught}

    assert names.isdisjoint({"everything", "Exception", "BaseException"})
