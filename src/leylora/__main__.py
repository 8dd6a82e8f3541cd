"""``leylora COMMAND …``: the project's scripts for people who installed the package without a checkout.

``leylora parse_law --list`` is ``python scripts/parse_law.py --list``; ``leylora sft …`` is ``python train/sft.py …``.
"""

import ast
import difflib
import runpy
import sys
from pathlib import Path
from textwrap import shorten

from leylora import __version__, console
from leylora.errors import UsageError
from leylora.project import ROOT


def scripts() -> dict[str, Path]:
    """Every command by its name, the file's stem."""
    return {file.stem: file for folder in ("train", "scripts") for file in sorted((ROOT / folder).glob("*.py"))}


# A script of this name would hide the package of the same name from the others beside it.
OTHER_NAMES = {"mcp": "serve_mcp"}


def main() -> None:
    console.run(command)


def command() -> None:
    """Run the script that the first argument names, with the others."""
    known = scripts()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = OTHER_NAMES.get(name, name)
    if name in {"--help", "-h"}:
        print("leylora COMMAND [--help | ARGUMENTS]\n")
        for script, file in known.items():
            about = (
                (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "")
                .partition("\n")[0]
                .partition(": ")[0]
                .rstrip(".")
            )
            print(f"  {script:<16} {shorten(about, 62, placeholder=' ...')}")
    elif name == "--version":
        print(__version__)
    elif name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}."
        raise UsageError(f"leylora has no command '{name}'; {hint}")
    else:
        sys.argv = [f"leylora {name}", *sys.argv[2:]]
        runpy.run_path(str(known[name]), run_name="__main__")


if __name__ == "__main__":
    main()
