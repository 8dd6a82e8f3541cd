"""Copying modules of leylora so that they run where leylora is not installed.

Which ones is read off their imports, and each must do with the standard library: see `vendored`.
"""

import ast
import re
import sys
from pathlib import Path

import leylora
from leylora.errors import LeyloraError

SOURCE = Path(leylora.__file__).parent
_IMPORT = re.compile(r"^(\s*(?:from|import) )leylora\b", re.MULTILINE)


def vendored(module: str, package: str, provided: frozenset[str] = frozenset()) -> dict[str, str]:
    """The files of a package that holds ``module`` and every module of leylora it imports, by relative path.

    Args:
        module: such as ``leylora.grounding.ground``.
        package: what the copy calls leylora.
        provided: other top-level packages that are there where the copy runs.

    The ``__init__`` files are empty. What stands under ``if TYPE_CHECKING`` is not needed and not followed.

    Raises:
        LeyloraError: a module imports something that is neither leylora, the standard library nor provided.
    """
    files = {f"{package}/__init__.py": ""}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        target = f"{package}/{path.relative_to(SOURCE).as_posix()}"
        if target in files:
            continue
        text = path.read_text(encoding="utf-8")
        for imported in _imports(ast.parse(text)):
            top = imported.partition(".")[0]
            if top == "leylora":
                waiting.append(imported)
            elif top not in sys.stdlib_module_names and top not in provided:
                raise LeyloraError(f"{path} imports {imported}, which is not in the standard library.")
        files[target] = "" if path.name == "__init__.py" else _IMPORT.sub(rf"\1{package}", text)
        for parent in Path(target).parents:
            if parent.parts:
                files.setdefault(f"{parent.as_posix()}/__init__.py", "")
    return dict(sorted(files.items()))


def _path(module: str) -> Path:
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.Module) -> list[str]:
    """The modules a module imports when it runs."""
    found: list[str] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [name for name in names if name.startswith("leylora.") and _path(name).is_file()]
            found += submodules or [node.module]
        waiting += ast.iter_child_nodes(node)
    return found
