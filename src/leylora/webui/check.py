"""Would it load? Every adapter, preset and template of an installation, ours or not, and our extension."""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from leylora.adapters.config import BASE_KEYS, CONFIG_FILE, AdapterConfig, check_adapter_name, parse_config
from leylora.adapters.files import PICKLED_FILE, PREFIX, WEIGHTS_FILE
from leylora.errors import LeyloraError
from leylora.files import LARGEST_YAML, read_bytes, read_json_object, read_text
from leylora.models.presets import parse_preset
from leylora.models.templates import SUFFIXES, faults_of_stranger, find_template
from leylora.webui import config_user
from leylora.webui.export import Kind
from leylora.webui.install import Install, find_install

EXTENSION = "leylora"
EXTENSION_FILES = ("script.py", "laws.sqlite", "leylora_for_webui")
_UNLISTED = (".txt", "-np", ".pt", ".json")  # entries of the LoRA folder that the webui leaves out of its list
_FACTOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?$")
_LAYER = re.compile(r"\.(\d+)\.")
_STRICT_PEFT = ((0, 6), (0, 14))  # from, below: these stop at config keys they do not know

#: Config keys by the PEFT release that brought them (all from 0.6 to 0.13, where an unknown key is an error).
KEY_SINCE = {
    "alpha_pattern": (0, 6),
    "rank_pattern": (0, 6),
    "loftq_config": (0, 7),
    "megatron_config": (0, 7),
    "megatron_core": (0, 7),
    "use_rslora": (0, 8),
    "use_dora": (0, 9),
    "layer_replication": (0, 10),
}


class ArtifactVerdict(NamedTuple):
    """What would become of one artifact."""

    kind: Kind
    name: str
    path: Path
    faults: tuple[str, ...]  # why it would not load, or not do what it says
    remarks: tuple[str, ...] = ()  # worth knowing; it works all the same
    loader: str = "any"  # which loader of the webui can use it


def check_install(path: Path) -> list[ArtifactVerdict]:
    """Verdicts on everything in an installation.

    Raises:
        UsageError: there is no installation at ``path``.
        LeyloraError: its CMD_FLAGS.txt cannot be read.
    """
    install = find_install(path)
    return [*_adapters(install), *_presets(install), *_templates(install), *_extension(install)]


def check_adapter(folder: Path, peft: tuple[int, ...] | None = None, models: Path | None = None) -> ArtifactVerdict:
    """Would the webui load this folder as a LoRA, with that version of PEFT if it is known, and on its base model if
    that lies in ``models``?"""
    faults: list[str] = []
    remarks: list[str] = []
    try:
        check_adapter_name(folder.name)
    except LeyloraError as error:
        if "." in folder.name or folder.name.endswith("-np"):  # a dot fails, and -np hides the folder
            faults.append(str(error))
        else:
            remarks.append("spaces and accents in a name load here; our own export leaves them out, to be safe")
    try:
        raw = read_json_object(folder / CONFIG_FILE)
        config = parse_config(raw, folder / CONFIG_FILE)
    except LeyloraError as error:
        return ArtifactVerdict("adapter", folder.name, folder, (*faults, str(error)), tuple(remarks), "Transformers")
    faults += _unknown_keys(raw, peft)
    wanted = config.base_model_name_or_path
    base = config_user.base_folder(models, wanted) if models and wanted else None
    shapes = _base_shapes(base) if base else {}
    if (folder / WEIGHTS_FILE).is_file():
        faults += _weight_faults(folder / WEIGHTS_FILE, config, base, shapes)
    elif (folder / PICKLED_FILE).is_file():
        remarks.append(f"{PICKLED_FILE} is a pickle, which runs code when loaded; trust its maker, or convert it")
        if (folder / PICKLED_FILE).stat().st_size == 0:
            faults.append(f"{PICKLED_FILE} is empty")
    else:
        faults.append(f"no {WEIGHTS_FILE}")
    if base and shapes:
        remarks.append(f"compared with {base.name} in {base.parent.name}")
    elif wanted:
        remarks.append(f"for {wanted}, which the webui does not check and whose weights are not here to compare with")
    return ArtifactVerdict("adapter", folder.name, folder, tuple(faults), tuple(remarks), "Transformers")


def _adapters(install: Install) -> list[ArtifactVerdict]:
    peft = install.pins.get("peft")
    verdicts = []
    for entry in sorted(install.loras.iterdir()) if install.loras.is_dir() else []:
        if entry.name.startswith(".") or (entry.is_file() and entry.name.endswith(_UNLISTED)):
            continue
        if not entry.is_dir():
            hint = "a broken link" if entry.is_symlink() else "a file, not a folder"
            gguf = "; GGUF LoRAs are no longer loaded by any loader" if entry.suffix == ".gguf" else ""
            verdicts.append(ArtifactVerdict("adapter", entry.name, entry, (f"{hint}{gguf}",), loader="none"))
            continue
        verdict = check_adapter(entry, peft, install.models)
        if install.portable:
            faults = ("a portable build loads no LoRAs; use the full install", *verdict.faults)
            verdict = verdict._replace(faults=faults, loader="none")
        verdicts.append(verdict)
    return verdicts


def _presets(install: Install) -> list[ArtifactVerdict]:
    verdicts = []
    for file in sorted(install.presets.iterdir()) if install.presets.is_dir() else []:
        if file.suffix == ".yaml" and file.is_file():
            preset = parse_preset(read_bytes(file, LARGEST_YAML), install.pins.get("transformers"))
            loader = "Transformers" if preset.settings.get("penalty_alpha") else "any"
            verdicts.append(ArtifactVerdict("preset", file.stem, file, preset.faults, preset.remarks, loader))
        elif file.suffix in (".yml", ".YAML"):
            verdicts.append(ArtifactVerdict("preset", file.name, file, ("not listed: rename it to .yaml",)))
    return verdicts


def _templates(install: Install) -> list[ArtifactVerdict]:
    verdicts = []
    folder = install.templates
    names = sorted({f.stem for f in folder.iterdir() if f.suffix in SUFFIXES}) if folder.is_dir() else []
    for name in names:
        file = find_template(folder, name)
        if file is None:
            continue
        try:
            faults, stops = faults_of_stranger(read_text(file, LARGEST_YAML), file.suffix, file)
        except LeyloraError as error:
            faults, stops = [str(error)], []
        remarks = [f"stops at {', '.join(map(repr, stops))}"] if stops else []
        if file.suffix != ".yaml":
            remarks.append("read since v4.7 only; older versions need .yaml")
        verdicts.append(ArtifactVerdict("template", name, file, tuple(faults), tuple(remarks)))
    return verdicts


def _extension(install: Install) -> list[ArtifactVerdict]:
    """Our extension, if it is there: whether its files are, and its index of laws can be read."""
    folder = install.extensions / EXTENSION
    if not folder.is_dir():
        return []
    faults = [f"no {name}; export it again" for name in EXTENSION_FILES if not (folder / name).exists()]
    remarks = []
    if not faults:
        try:
            address = f"{(folder / EXTENSION_FILES[1]).resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as db:
                count = db.execute("SELECT count(*) FROM articles").fetchone()[0]
            remarks.append(f"{count} articles; start the webui with --extensions {EXTENSION}")
        except sqlite3.Error as error:
            faults.append(f"{EXTENSION_FILES[1]} cannot be read ({error}); export it again")
    return [ArtifactVerdict("extension", EXTENSION, folder, tuple(faults), tuple(remarks))]


def _unknown_keys(raw: dict[str, object], peft: tuple[int, ...] | None) -> list[str]:
    """The fault of keys that PEFT 0.6 to 0.13 stops at; none where the version is not known to be one of these."""
    if peft is None or not _STRICT_PEFT[0] <= peft[:2] < _STRICT_PEFT[1]:
        return []
    known = {*BASE_KEYS, *(key for key, since in KEY_SINCE.items() if since <= peft[:2])}
    unknown = sorted(key for key in raw if key not in known)
    if not unknown:
        return []
    version, keys = ".".join(map(str, peft)), ", ".join(unknown)
    return [f"PEFT {version} of this install stops at the config keys {keys}; export the adapter again"]


def _weight_faults(path: Path, config: AdapterConfig, base: Path | None, of_base: Mapping[str, list[int]]) -> list[str]:
    """What the weights say against loading: their header, their values, and the base model they are for."""
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size == 0:
        return [f"{path.name} is empty (0 bytes); copy it again"]
    try:
        with safe_open(path, framework="np") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        return [f"{path.name} is damaged ({error}); copy it again"]
    factors = {key: match for key in shapes if (match := _FACTOR.match(key))}
    if not factors:
        return [f"{path.name} holds no LoRA factors"]
    faults = []
    if strays := [key for key in factors if not key.startswith(PREFIX)]:
        faults.append(f"{strays[0]} lacks the prefix '{PREFIX}': the webui answers OK and nothing changes")
    pairs: dict[str, dict[str, list[int]]] = {}
    for key, match in factors.items():
        pairs.setdefault(match[1], {})[match[2]] = shapes[key]
    if half := [name for name, pair in pairs.items() if len(pair) < 2]:
        faults.append(f"{half[0]} has only one of its two factors")
    for name, pair in pairs.items():
        if "A" in pair and pair["A"][0] != config.rank(name.removeprefix(PREFIX)):
            return [*faults, f"{name} has rank {pair['A'][0]}, the config says {config.r}"]
    if not faults:
        modules = {name.removeprefix(PREFIX): pair for name, pair in pairs.items()}
        faults += _target_faults(modules, config)
        faults += _base_faults(modules, of_base, base)
        faults += _layer_faults(modules, config, of_base)
    return faults + _value_faults(path, factors)


def _target_faults(modules: Mapping[str, object], config: AdapterConfig) -> list[str]:
    """Of a list of target modules, those without weights, and weights that none of them takes up."""
    targets = config.target_modules
    if not targets or isinstance(targets, str):  # a pattern, which each PEFT resolves by the base model
        return []
    idle = [one for one in sorted(targets) if not any(f".{name}".endswith(f".{one}") for name in modules)]
    unused = [name for name in modules if not any(f".{name}".endswith(f".{one}") for one in targets)]
    faults = [f"the config targets {idle[0]}, for which there are no weights"] if idle else []
    return [*faults, *([f"{unused[0]} is not among the config's target modules: it is left out"] if unused else [])]


def _base_faults(
    modules: Mapping[str, Mapping[str, list[int]]], shapes: Mapping[str, list[int]], base: Path | None
) -> list[str]:
    """Modules that the base model does not have, or has of another width. One of each."""
    if base is None or not shapes:
        return []
    if strange := [name for name in modules if _tail(name) not in shapes]:
        return [f"{base.name} has no module {strange[0]}: the adapter is for another model"]
    for name, pair in modules.items():
        width, of_base = [pair["B"][0], pair["A"][1]], shapes[_tail(name)]
        if len(pair["A"]) == len(of_base) == 2 and width != of_base:
            return [f"{name} is {width[0]} x {width[1]}, in {base.name} {of_base[0]} x {of_base[1]}: does not load"]
    return []


def _layer_faults(modules: Mapping[str, object], config: AdapterConfig, shapes: Mapping[str, list[int]]) -> list[str]:
    """Layers without weights, in which the adapter does nothing; by the base model's where it is here, else by the
    other modules'."""
    layers, of_base = _layers(modules), _layers(shapes)
    listed = config.layers_to_transform
    chosen = {listed} if isinstance(listed, int) else set(listed or ())
    known = set().union(*layers.values())
    for name, found in sorted(layers.items()):
        expected = chosen or of_base.get(name) or {*range(max(known) + 1)}
        if missing := sorted(expected - found):
            numbers = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
            return [f"{name} has no weights in layer {numbers}: it loads, and does nothing there"]
    return []


def _layers(modules: Mapping[str, object]) -> dict[str, set[int]]:
    """The numbers of the layers, by the name a module has in each."""
    found: dict[str, set[int]] = {}
    for name in modules:
        if match := _LAYER.search(f".{name}."):
            found.setdefault(f".{name}"[match.end() :], set()).add(int(match[1]))
    return found


def _tail(name: str) -> str:
    """A module's name from its layer's number on, whatever the model calls its trunk; else its last part."""
    match = _LAYER.search(name)
    return name[match.start() + 1 :] if match else name.rpartition(".")[2]


def _base_shapes(base: Path) -> dict[str, list[int]]:
    """The shapes (out, in) of a base model's weights, from the headers of its files; none of one saved quantised."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, list[int]] = {}
    try:
        if "quantization_config" in read_json_object(base / "config.json"):
            return {}
        for path in sorted(base.glob("*.safetensors")):
            with safe_open(path, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 (not a dict)
                    if key.endswith(".weight"):
                        found[_tail(key.removesuffix(".weight"))] = list(file.get_slice(key).get_shape())
    except (SafetensorError, OSError, LeyloraError):
        return {}  # a base that cannot be read is not the adapter's fault
    return found


def _value_faults(path: Path, factors: Mapping[str, re.Match[str]]) -> list[str]:
    """Values that are not numbers, or factors B that are all zero. Read as bits: numpy has no bfloat16."""
    import numpy as np

    # Of a value's bits: the type they are read as, all but the sign, those of the exponent.
    kinds = {"F32": ("<u4", 0x7FFFFFFF, 0x7F800000), "F16": ("<u2", 0x7FFF, 0x7C00), "BF16": ("<u2", 0x7FFF, 0x7F80)}
    acts = False
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        for key, match in factors.items():
            if header[key]["dtype"] not in kinds:
                return []
            kind, unsigned, exponent = kinds[header[key]["dtype"]]
            start, end = header[key]["data_offsets"]
            file.seek(8 + size + start)
            bits = np.frombuffer(file.read(end - start), kind)
            if ((bits & exponent) == exponent).any():
                return [f"{key} holds NaN or infinity: every answer fails; use an earlier checkpoint"]
            acts = acts or (match[2] == "B" and bool((bits & unsigned).any()))
    return [] if acts else ["all factors B are zero: the webui answers OK and nothing changes"]
