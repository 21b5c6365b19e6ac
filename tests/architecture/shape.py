"""Measures of the source.

`python tests/architecture/shape.py [FOLDER ...]` prints them as a table.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = ("loco_stream", "connectors", "demos")
_BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)
_IGNORED = {
    tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT,
    tokenize.ENDMARKER, tokenize.ENCODING,
}  # fmt: skip


def sources(root: Path, folders: tuple[str, ...] = PACKAGE) -> dict[Path, str]:
    """Return the text of every module by its path below `root`; linked folders count once."""
    texts = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            linked = any(parent.is_symlink() for parent in path.parents if root in parent.parents)
            if not linked:
                texts[path.relative_to(root)] = path.read_text()
    return texts


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def expression_nodes(function: ast.AST) -> int:
    """Return the number of expressions in a function's body, its docstring aside."""
    return sum(
        isinstance(node, ast.expr) for statement in function.body for node in ast.walk(statement)
    )


def nesting(function: ast.AST) -> int:
    """Return how deep blocks stand inside each other; an `elif` is as deep as its `if`."""

    def depth(node: ast.AST, level: int) -> int:
        deepest = level
        for child in ast.iter_child_nodes(node):
            is_block = isinstance(child, _BLOCKS)
            is_elif = (
                isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
            )
            deepest = max(deepest, depth(child, level + (is_block and not is_elif)))
        return deepest

    return depth(function, 0)


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of parameters that may be given by position, `self` aside."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    return len(arguments) - (bool(arguments) and arguments[0].arg in ("self", "cls"))


def parallel_assignments(tree: ast.AST) -> int:
    """Return the number of assignments of a tuple of values to a tuple of names."""
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            found += any(isinstance(target, ast.Tuple) for target in node.targets)
    return found


def tokens(text: str) -> int:
    """Return the number of tokens, comments and line ends aside."""
    return sum(t.type not in _IGNORED for t in tokenize.generate_tokens(io.StringIO(text).readline))


def index_constants(trees: list[ast.Module]) -> int:
    """Return the number of named positions.

    Several whole numbers named at once and used in a subscript.
    """
    named: set[str] = set()
    used: set[str] = set()
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and _is_count(node.value):
                for target in node.targets:
                    elements = target.elts if isinstance(target, ast.Tuple) else []
                    named |= {element.id for element in elements if isinstance(element, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript):
                used |= {part.id for part in ast.walk(node.slice) if isinstance(part, ast.Name)}
                used |= {
                    part.attr for part in ast.walk(node.slice) if isinstance(part, ast.Attribute)
                }
    return len(named & used)


def _is_count(value: ast.expr) -> bool:
    """Return whether a value is `range(...)` or a tuple of whole numbers."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "range"
    if isinstance(value, ast.Tuple):
        return all(isinstance(e, ast.Constant) and type(e.value) is int for e in value.elts)
    return False


def measure(texts: dict[Path, str]) -> dict[str, float]:
    """Return every measure by name."""
    trees = [ast.parse(text) for text in texts.values()]
    lines = sum(text.count("\n") for text in texts.values())
    every = [function for tree in trees for function in functions(tree)]
    nodes = [expression_nodes(function) for function in every]
    anys = sum(isinstance(n, ast.Name) and n.id == "Any" for tree in trees for n in ast.walk(tree))
    length = sum(len(line) > 100 for text in texts.values() for line in text.splitlines())
    return {
        "modules": len(texts),
        "lines": lines,
        "tokens": sum(map(tokens, texts.values())),
        "functions": len(every),
        "expression nodes per function, median": statistics.median(nodes),
        "expression nodes per function, p90": statistics.quantiles(nodes, n=10)[-1],
        "expression nodes per function, max": max(nodes),
        "nesting, max": max(map(nesting, every)),
        "functions with more than 8 positional parameters": sum(positional(f) > 8 for f in every),
        "parallel assignments per 1,000 lines": 1000
        * sum(map(parallel_assignments, trees))
        / lines,
        "Any per 1,000 lines": 1000 * anys / lines,
        "lines over 100 characters": length,
        "fmt: skip": sum(text.count("# fmt: skip") for text in texts.values()),
        "index constants": index_constants(trees),
    }


def main() -> None:
    """Print the measures of each folder, or of the package."""
    root = Path(__file__).parents[2]
    groups = [(name,) for name in sys.argv[1:]] or [PACKAGE]
    tables = [measure(sources(root, group)) for group in groups]
    for name in tables[0]:
        print(f"{name:50}", *(f"{table[name]:12,.1f}" for table in tables))


if __name__ == "__main__":
    main()
