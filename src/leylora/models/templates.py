"""Instruction templates: one text for training, chat and text-generation-webui.

INSTRUCTION-TEMPLATES/NAME.yaml holds the Jinja template under ``instruction_template``. In it, what the model
must learn to write (an answer and its end) stands between the Jinja comments ``{# generation #}`` and
``{# endgeneration #}``. The webui ignores comments; for training they become the ``{% generation %}`` block
by which transformers tells which tokens the assistant wrote.
"""

from pathlib import Path

import yaml

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_text
from leylora.project import INSTRUCTION_TEMPLATES, shown

OPEN, CLOSE = "{# generation #}", "{# endgeneration #}"


def instruction_template(name: str, folder: Path = INSTRUCTION_TEMPLATES) -> str:
    """The Jinja text of INSTRUCTION-TEMPLATES/``name``.yaml, as the webui reads it.

    Raises:
        UsageError: there is no such template; the message lists those there are.
        LeyloraError: the file is not YAML or has no ``instruction_template`` text.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise UsageError(f"There is no instruction template '{name}' in {shown(folder)} (there: {known}).")
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise LeyloraError(f"{shown(path)} is not YAML: {str(error).splitlines()[0]}; mend the file.") from None
    text = content.get("instruction_template") if isinstance(content, dict) else None
    if not isinstance(text, str) or not text:
        raise LeyloraError(f"{shown(path)} has no text under the key 'instruction_template'; add it.")
    return text


def training_template(text: str) -> str:
    """``text`` with the marked parts turned into ``{% generation %}`` blocks.

    Raises:
        LeyloraError: nothing is marked, or the marks do not pair: training would have no answer to learn from.
    """
    opened, closed = text.count(OPEN), text.count(CLOSE)
    if opened == 0 or opened != closed:
        raise LeyloraError(
            f"The instruction template marks {opened} starts '{OPEN}' and {closed} ends '{CLOSE}'; each answer needs "
            "one of both, around its content and its end-of-turn mark."
        )
    return text.replace(OPEN, "{% generation %}").replace(CLOSE, "{% endgeneration %}")


def served_template(text: str) -> str:
    """``text`` without the marks: what is saved beside an adapter for chat and serving."""
    return text.replace(OPEN, "").replace(CLOSE, "")
