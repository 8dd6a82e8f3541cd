"""The room starts light: nothing but the standard library and the stemmer."""

import subprocess
import sys

from leylora.project import ROOT


def test_the_room_loads_only_the_standard_library_and_the_stemmer() -> None:
    names = sorted(path.stem for path in (ROOT / "src" / "leylora" / "grounding").glob("*.py"))
    assert {"citations", "quantities", "clauses", "prompt", "search", "index", "ground", "checker"} <= set(names)
    program = (
        "import sys\n"
        + "".join(f"import leylora.grounding.{name}\n" for name in names if name != "__init__")
        + "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )
    loaded = {name for name in done.stdout.split() if not name.startswith(("_", "sitecustomize", "usercustomize"))}
    assert loaded == {"leylora", "snowballstemmer"}
