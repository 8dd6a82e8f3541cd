"""What to click after an export, in the words of the webui's own labels (the same from v2.0 to v4.9)."""

import re

from leylora.webui import config_user
from leylora.webui.artifacts import by_kind
from leylora.webui.export import ExportReport
from leylora.webui.install import Install


def next_steps(report: ExportReport) -> list[str]:
    """The steps from this export to a chat, one sentence or two each; none if neither adapter nor extension was."""
    adapters = by_kind(report.artifacts, "adapter")
    steps = [
        f"Start the webui with --extensions {extension.name} (or put that into CMD_FLAGS.txt): answers then rest on "
        "articles of law, and their citations are checked."
        for extension in by_kind(report.artifacts, "extension")
    ]
    if not adapters or report.install.portable:
        return steps
    shown = next((a for a in adapters if a.name.endswith("combined")), adapters[0])
    pinned = {item.name for item in report.items if item.kind == "entry" and item.state != "kept"}
    presets = {artifact.name for artifact in by_kind(report.artifacts, "preset")}
    preset = shown.name if shown.name in presets else "deterministic" if "deterministic" in presets else None
    steps += [
        "Restart the webui if it is running: it reads config-user.yaml and the templates' texts only when it starts."
    ]
    base = shown.base_model
    folder = _model_folder(report.install, base) if base else None
    if base and not folder:
        steps.append(f'Model > Download: enter "{base}" in "Download model or LoRA" and press "Download".')
    # The webui's own download makes owner_name of owner/name.
    name = f'"{folder or base.replace("/", "_")}"' if base else "the base model"
    steps.append(
        f'Model > "Model": choose {name}; "Model loader": Transformers (no other applies LoRAs); on a 16 GB card tick '
        '"load-in-4bit" (or "load-in-8bit"); press "Load".'
    )
    steps.append(f'Model > "LoRA(s)": choose "{shown.name}" and nothing else (one at a time), press "Apply LoRAs".')
    if shown.template and base and config_user.base_pattern(base) not in pinned:
        steps.append(
            f'Parameters > Instruction template > "Saved instruction templates": "{shown.template}", press "Load".'
        )
    if preset:
        steps.append(f'Parameters > Generation > "Preset": "{preset}".')
    steps.append('Chat, with "Mode" on "instruct": ask.')
    return steps


def _model_folder(install: Install, base: str) -> str | None:
    """The folder in models/ that bears the base model's name, however it was downloaded."""
    if not install.models.is_dir():
        return None
    pattern = re.compile(config_user.base_pattern(base))
    folders = sorted(entry.name for entry in install.models.iterdir() if entry.is_dir())
    return next((name for name in folders if pattern.match(name.lower())), None)
