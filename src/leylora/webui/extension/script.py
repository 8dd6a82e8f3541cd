"""leylora's extension of text-generation-webui: answers from articles of law, with checked citations.

The webui loads this file alone, as a module of no package; what it needs is in the same folder, in a package
that is loaded from there. Made by `scripts/export_webui.py --extension`, which also writes laws.sqlite.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "leylora_for_webui"

for _name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
    del sys.modules[_name]  # of an earlier export, when the webui reloads its extensions
_spec = importlib.util.spec_from_file_location(
    PACKAGE, HERE / PACKAGE / "__init__.py", submodule_search_locations=[str(HERE / PACKAGE)]
)
assert _spec is not None
assert _spec.loader is not None
sys.modules[PACKAGE] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[PACKAGE])
_hooks = importlib.import_module(f"{PACKAGE}.webui.extension.hooks")

params = _hooks.params
custom_generate_chat_prompt = _hooks.custom_generate_chat_prompt
output_modifier = _hooks.output_modifier
ui = _hooks.ui


def setup() -> None:
    """Called by the webui once its settings have been put into `params`."""
    _hooks.open_index(HERE / "laws.sqlite")
