"""What two programs share that differ in spelling alone."""

import ast

_ENTRY = "compute_reward"


def normal_form(program: str) -> str:
    """Returns a program without what its result does not hang on; equal for equal programs.

    Left out: comments, layout, docstrings, how a number is spelled (``1``, ``1.0``, ``1e0``), type
    hints, and the names of its own variables and helper functions. Names of parameters and of
    components stay: they say which field is meant, and what is shown.

    Raises:
        SyntaxError: the program is no Python.
    """
    tree = ast.parse(program)
    new = _new_names(tree)
    for node in ast.walk(tree):
        _strip(node)
        _rename(node, new)
    return ast.dump(_Plain().visit(tree))


def _new_names(tree: ast.Module) -> dict[str, str]:
    """Returns a name by its place for each that the program binds itself, one for one."""
    nodes = list(ast.walk(tree))
    own = [
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    own += [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    names = [name for name in dict.fromkeys(own) if name not in arguments | {_ENTRY}]
    # No program can bind such a name, so that no other variable is taken for it.
    return {name: f"<{number}>" for number, name in enumerate(names)}


def _rename(node: ast.AST, new: dict[str, str]) -> None:
    if isinstance(node, ast.Name):
        node.id = new.get(node.id, node.id)
    elif isinstance(node, ast.FunctionDef):
        node.name = new.get(node.name, node.name)


def _strip(node: ast.AST) -> None:
    """Takes docstrings and type hints off."""
    body = getattr(node, "body", None)
    if isinstance(body, list):
        node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    if isinstance(node, ast.FunctionDef):
        node.returns = None
    if isinstance(node, ast.arg):
        node.annotation = None


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


class _Plain(ast.NodeTransformer):
    """Spells numbers as floats, and ``x: float = 1.0`` as ``x = 1.0``."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        # type, not isinstance: True is an int, and no number here.
        return ast.Constant(float(node.value)) if type(node.value) is int else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.Assign(targets=[node.target], value=node.value)
