"""The mutants of a module: mutmut's operators, applied to the whole of it.

mutmut itself changes what is inside of functions that have no decorator, because it switches between
them at run time. Here a mutant is a module with one fault, and so tables, constants, the fields of
records and properties are changed too. Two mutants that mean the same are one, and one that means
what the module means is none; docstrings, annotations, decorators and types for the checker are
left alone.

Not here: how a mutant is tried (``scripts/mutation.py``).
"""

import ast
import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation import file_mutation
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines


class _WholeModule(file_mutation.MutationVisitor):  # type: ignore[misc]  # libcst's types are not asked for
    """mutmut's visitor, for properties and other decorated functions too, and not for types."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return node.name.value in file_mutation.NEVER_MUTATE_FUNCTION_NAMES
        if isinstance(node, cst.Assign) and isinstance(node.value, cst.Call | cst.Subscript):
            named = node.value.func if isinstance(node.value, cst.Call) else node.value.value
            types = {"NewType", "TypeVar", "Literal", "Callable", "tuple", "dict", "list"}
            if isinstance(named, cst.Name) and named.value in types:
                return True
        return bool(super()._skip_node_and_children(node))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module with one fault."""

    code: str
    where: str  # the function or class that it is in
    was: str  # the lines that it replaces
    now: str

    @property
    def key(self) -> str:
        """Its name among the results."""
        return digest(self.code)

    @property
    def place(self) -> tuple[str, str, str]:
        """How the list of equivalent mutants names it."""
        return self.where, self.was, self.now


def digest(*parts: str) -> str:
    """A name for these texts together."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a module, each meaning only once."""
    code = path.read_text("utf-8")
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = _WholeModule(mutation_operators, get_ignored_lines(str(path), code, wrapper), None)
    module = wrapper.visit(visitor)
    names = _names(code)
    seen = {ast.dump(ast.parse(code))}
    found = []
    for mutation in visitor.mutations:
        mutated = module.deep_replace(mutation.original_node, mutation.mutated_node).code
        try:
            meaning = ast.dump(ast.parse(mutated))
        except SyntaxError:
            continue
        if meaning in seen:
            continue
        seen.add(meaning)
        first, was, now = _difference(code, mutated)
        found.append(Mutant(code=mutated, where=names.get(first, ""), was=was, now=now))
    return found


def _difference(old: str, new: str) -> tuple[int, str, str]:
    before, after = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changed = [each for each in matcher.get_opcodes() if each[0] != "equal"]
    was = [line.strip() for _, i, j, _, _ in changed for line in before[i:j]]
    now = [line.strip() for _, _, _, i, j in changed for line in after[i:j]]
    return changed[0][1] + 1, " ".join(was), " ".join(now)


def _names(code: str) -> dict[int, str]:
    """Line → the function or class that it is part of."""
    lines: dict[int, str] = {}

    def enter(body: Iterable[ast.stmt], outer: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = outer + node.name
            else:
                continue
            lines.update(dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), name))
            enter(node.body, name + ".")

    enter(ast.parse(code).body, "")
    return lines
