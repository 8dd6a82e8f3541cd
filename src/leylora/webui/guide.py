"""What the user is told after an export, a removal or a check: tables, notes, and what to click next.

The labels are the webui's own, from v2.0 to v4.9; since v3.3 those of LoRAs are inside "See more options".
"""

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leylora.webui import config_user
from leylora.webui.check import ArtifactVerdict
from leylora.webui.export import ExportReport, State, by_kind

_ON_THE_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")  # owner/name, which the webui can download

_STYLES: dict[State, str] = {
    "new": "green",
    "updated": "green",
    "replaced": "magenta",
    "removed": "green",
    "kept": "yellow",
    "skipped": "yellow",
}


def report(done: ExportReport) -> RenderableType:
    """A table of what became of each artifact, the notes on the installation, and what to click."""
    table = _table("", "what", "name", "note")
    files_of_extension: dict[State, int] = {}
    for item in done.items:
        if item.kind == "extension" and "/" in item.name:
            files_of_extension[item.state] = files_of_extension.get(item.state, 0) + 1
            continue
        table.add_row(Text(item.state, _STYLES.get(item.state, "")), item.kind, Text(item.name), Text(item.note))
    for state, count in files_of_extension.items():  # a removal names every file; an extension has two dozen
        table.add_row(Text(state, _STYLES.get(state, "")), "extension", f"{count} files", "")
    parts: list[RenderableType] = [Text(f"Installation: {done.install.root or done.install.data}"), table]
    parts += [Text(f"Note: {note}", "yellow") for note in done.notes]
    if done.dry_run:
        return Group(*parts, Text("A dry run: nothing was changed."))
    if steps := next_steps(done):
        parts.append(Text("Next:"))
        parts += [Text(f"{number}. {step}") for number, step in enumerate(steps, start=1)]
    return Group(*parts)


def verdicts(found: Sequence[ArtifactVerdict]) -> RenderableType:
    """A table with one row for each adapter, preset and template of an installation."""
    table = _table("works", "what", "name", "loader", "why, and what to know")
    for verdict in found:
        works = Text("no", "red") if verdict.faults else Text("yes", "green")
        why = Text("\n".join([*verdict.faults, *verdict.remarks]))
        table.add_row(works, verdict.kind, Text(verdict.name), verdict.loader, why)
    return table


def next_steps(done: ExportReport) -> list[str]:
    """The steps from this export to a chat, one sentence or two each; none if neither adapter nor extension was."""
    adapters = by_kind(done.artifacts, "adapter")
    steps = [
        f"Start the webui with --extensions {extension.name} (or put that into CMD_FLAGS.txt): answers then rest on "
        "articles of law, and their citations are checked."
        for extension in by_kind(done.artifacts, "extension")
    ]
    if not adapters or done.install.portable:
        return steps
    shown = next((a for a in adapters if a.name.endswith("combined")), adapters[0])
    steps.append(
        "Restart the webui if it is running: it reads config-user.yaml and the templates' texts only when it starts."
    )
    base = shown.base_model
    there = config_user.base_folder(done.install.models, base) if base else None
    folder = there.name if there else None
    if base and not folder and Path(base).is_dir():
        folder = Path(base).resolve().name
        steps.append(f"Copy the folder {base} into {done.install.models}.")
    elif base and not folder and not _ON_THE_HUB.fullmatch(base):
        folder = Path(base).name
        steps.append(f"Copy the base model, {base} where the adapter was trained, into {done.install.models}.")
    elif base and not folder:
        steps.append(f'Model > Download: enter "{base}" in "Download model or LoRA" and press "Download".')
    # The webui's own download makes owner_name of owner/name.
    name = f'"{folder or base.replace("/", "_")}"' if base else "the base model"
    steps.append(
        f'Model > "Model": choose {name}; "Model loader": Transformers (no other applies LoRAs); on a 16 GB card tick '
        '"load-in-4bit" (or "load-in-8bit"); press "Load".'
    )
    steps.append(
        f'Model > Other options > "See more options" > "LoRA(s)": choose "{shown.name}" and nothing else (one at a '
        'time), press "Apply LoRAs", and again after every "Load". (Before v3.3 the field is not folded away.)'
    )
    pinned = {item.name for item in done.items if item.kind == "entry" and item.state != "kept"}
    if shown.template and base and config_user.base_pattern(base) not in pinned:
        steps.append(
            f'Parameters > Instruction template > "Saved instruction templates": "{shown.template}", press "Load".'
        )
    elif shown.template:
        steps.append(
            f"The instruction template {shown.template} is set with the model: its text is in the box, though "
            '"Saved instruction templates" says None.'
        )
    presets = {item.name: item.path.stem for item in done.items if item.kind == "preset"}
    preset = presets.get(shown.preset or "") or presets.get(
        "deterministic"
    )  # on file as Deterministic in a fresh install
    if preset:
        steps.append(f'Parameters > Generation > "Preset": "{preset}".')
    steps.append('Chat, with "Mode" on "instruct": ask.')
    return steps


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
