"""A recipe: all settings of one training run, put together from the shipped parts or read from one file of one's own.

    compose("mistral-7b", "law")    train/recipes: shared/defaults.yaml, MODEL.yaml, adapters/ADAPTER.yaml
    read_recipe(path)               one whole file
    recipe_of(words)                what a command line asks for: --model and --adapter, or --config, and single keys

Settings are TRL's keys and the few of `leylora.training.config.RunArguments`. Nothing heavy is imported here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from leylora.errors import LeyloraError, UsageError
from leylora.files import parse_yaml, read_yaml_mapping
from leylora.project import RECIPES, shipped, shown

DEFAULT_MODEL, DEFAULT_ADAPTER = "mistral-7b", "instructions"
DEFAULT_SUMMARY_RECIPE = RECIPES / "seq2seq" / "flan-t5-small.yaml"  # what train/seq2seq.py runs
RENAMED = {"on_top_of": "frozen_adapter", "init_from": "resume_adapter"}
"""Keys of older recipes and records, by what they are called now."""


@dataclass(frozen=True)
class Recipe:
    """What one run was asked for."""

    name: str  # for messages and the record: ``mistral-7b/law``, or the file as a person would type it
    settings: dict[str, Any]  # of the recipe alone
    overrides: dict[str, Any]  # of the command line, which win; values are read as YAML would read them
    words: list[str]  # the command line without the options that choose the recipe

    @property
    def whole(self) -> dict[str, Any]:
        return {**self.settings, **self.overrides}

    def is_true(self, key: str) -> bool:
        return is_true(self.whole.get(key, ""))

    def as_yaml(self) -> str:
        """One whole recipe, which ``--config`` takes."""
        return yaml.safe_dump(self.whole, sort_keys=False, allow_unicode=True, width=120)


def is_true(value: Any) -> bool:
    """Whether a key is switched on, however that is written."""
    return str(value).lower() in {"true", "1", "yes"}


def model_names() -> list[str]:
    """The base models with a recipe."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def adapter_names() -> list[str]:
    """The adapters that can be trained on each of them."""
    return sorted(path.stem for path in (RECIPES / "adapters").glob("*.yaml"))


def compose(model: str, adapter: str) -> dict[str, Any]:
    """The settings of training ``adapter`` on ``model``: names of shipped parts, or paths of one's own.

    Later parts win: what all share, what the model's size shares (``extends``), the model, the adapter, and what size
    and model say of this very adapter (``adapters``). A null takes a key out, and ``{model}`` is the model's name.
    """
    base = _part("model", model, RECIPES, model_names())
    skill = _part("adapter", adapter, RECIPES / "adapters", adapter_names())
    above, own = [read_recipe(RECIPES / "shared" / "defaults.yaml")], read_recipe(base)
    if size := own.pop("extends", None):
        above.append(read_recipe(RECIPES / "shared" / f"{size}.yaml"))
    last = [(part.pop("adapters", None) or {}).get(skill.stem) or {} for part in (*above, own)]
    settings: dict[str, Any] = {}
    for part in (*above, own, read_recipe(skill), *last):
        settings |= part
    return {
        key: value.replace("{model}", slug(model)) if isinstance(value, str) else value
        for key, value in settings.items()
        if value is not None
    }


def slug(model: str) -> str:
    """What the names of a model's adapters begin with. It has no dots: the webui cuts a name at its first one."""
    return (Path(model).stem if model.endswith((".yaml", ".yml")) else model).replace(".", "-")


def _part(kind: str, name: str, folder: Path, known: list[str]) -> Path:
    path = shipped(Path(name)) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file() or (path.parent == folder and path.stem not in known):
        raise UsageError(f"There is no {kind} '{name}' in {shown(folder)}; there are {', '.join(known)}.")
    return path


def recipe_of(
    words: Sequence[str], model: str | None = DEFAULT_MODEL, adapter: str = DEFAULT_ADAPTER, config: Path | None = None
) -> Recipe:
    """The recipe and the overrides of a command line (after the program's name).

    ``model`` and ``adapter``, or the file ``config``, are taken when it names none; ``model`` None: only ``--config``
    is known.
    """
    choices = ("model", "adapter", "config", "show_config") if model else ("config", "show_config")
    options, rest = _split(words, choices)
    if rest and not rest[0].startswith("--"):
        raise unexpected(rest[0], choices)
    chosen = {key: options.pop(key) for key in choices if key in options}
    chosen.pop("show_config", None)
    if "config" in chosen and len(chosen) > 1:
        raise UsageError("--config takes one whole recipe; leave out --model and --adapter, or --config.")
    for key, value in chosen.items():
        if not isinstance(value, str):
            raise UsageError(f"--{key} needs a name, such as --model mistral-7b --adapter law, or --config FILE.")
    path = Path(chosen["config"]) if "config" in chosen else config
    if path is not None:
        path = shipped(path)
        if model is None and not path.exists():
            known = ", ".join(sorted(shown(file) for file in DEFAULT_SUMMARY_RECIPE.parent.glob("*.yaml")))
            raise UsageError(f"There is no recipe {path}; there are {known}.")
        return Recipe(shown(path), read_recipe(path), options, rest)
    base, skill = str(chosen.get("model", model)), str(chosen.get("adapter", adapter))
    name = f"{Path(base).stem if base.endswith('.yaml') else base}/{Path(skill).stem}"
    return Recipe(name, compose(base, skill), options, rest)


def wants_config(words: Sequence[str]) -> bool:
    """Whether a command line asks to see its recipe (``--show_config true``) and not to run it."""
    return is_true(_split(words, ())[0].get("show_config"))


def _split(words: Sequence[str], apart: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """A command line as keys and values, and its words without the options named in ``apart``."""
    options: dict[str, Any] = {}
    rest: list[str] = []
    at = 0
    while at < len(words):
        end = next((i for i in range(at + 1, len(words)) if words[i].startswith("--")), len(words))
        name, equals, first = words[at].removeprefix("--").partition("=")
        values = [first] * bool(equals) + list(words[at + 1 : end])
        key = name.replace("-", "_")
        key = RENAMED.get(key, key)
        if not words[at].startswith("--"):
            rest += words[at:end]
        elif key in apart:
            if len(values) > 1:
                raise unexpected(values[1], apart)
            options[key] = values[0] if values else True
        else:
            read = [_value(value) for value in values]
            if not read and key.startswith("no_"):
                key, equals, first, read = key.removeprefix("no_"), "=", "false", [False]
            rest += [f"--{key}{equals}{first}", *words[at + 1 : end]]
            options[key] = True if not read else read[0] if len(read) == 1 else read
        at = end
    return options, rest


def unexpected(word: str, choices: Sequence[str] = ()) -> UsageError:
    """For a word that belongs to no option; ``choices`` are those of ``adapter`` and ``model`` that can be named."""
    for option, names in (("adapter", adapter_names()), ("model", model_names())):
        if option in choices and word in names:
            return UsageError(f"unexpected word '{word}'; did you mean --{option} {word}?")
    return UsageError(f"unexpected word '{word}'; every setting is given as --KEY VALUE.")


def _value(text: str) -> Any:
    try:
        return parse_yaml(text, "the command line", _RecipeLoader)
    except LeyloraError:
        return text


def read_recipe(path: Path) -> dict[str, Any]:
    """The keys and values of one file."""
    if not path.exists():
        raise UsageError(
            f"There is no recipe {path}; those of train/recipes are chosen with --model ({', '.join(model_names())}) "
            f"and --adapter ({', '.join(adapter_names())})."
        )
    config = read_yaml_mapping(path, _RecipeLoader)
    if not config:
        raise LeyloraError(f"{shown(path)} is empty; it must hold 'key: value' lines.")
    return {RENAMED.get(key, key): value for key, value in config.items()}


class _RecipeLoader(yaml.SafeLoader):
    """Safe YAML in which 2e-4 is a number (YAML 1.1 wants 2.0e-4 and silently gives text otherwise)."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)
