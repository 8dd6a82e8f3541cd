"""Everything a chat needs, from the command line's options: the base, its adapters, the laws, the first settings."""

from dataclasses import dataclass
from pathlib import Path

from leylora import console
from leylora.chat.dialogue import Settings
from leylora.chat.engine import Engine
from leylora.chat.sampling import MAX_NEW_TOKENS, Sampling, preset, preset_for
from leylora.chat.variants import BASE, LORA, Variant, adapter_variant, choose_base, find_adapter, find_variants
from leylora.grounding.index import LawIndex
from leylora.models.bases import Load


@dataclass(frozen=True)
class Wanted:
    """The options of a chat; None is the default."""

    model: str | None = None
    adapter: str | None = None
    load: Load = "4bit"
    laws: Path | None = None
    preset: str | None = None
    system: str = ""
    max_tokens: int | None = None
    seed: int | None = None
    lora: Path = LORA


@dataclass(frozen=True)
class Started:
    """A loaded engine, the laws' index if laws were named, and the settings to begin with."""

    engine: Engine
    index: LawIndex | None
    settings: Settings
    preset: str


def start(wanted: Wanted) -> Started:
    """Check all options, then load.

    Raises:
        LeyloraError: a model, adapter, preset or folder is not there or not usable.
    """
    if wanted.preset:
        preset(wanted.preset)
    index = None
    if wanted.laws is not None:
        from leylora.grounding.indexing import open_laws

        index = open_laws(wanted.laws)
    base, variants, first = choose(wanted.model, wanted.adapter, wanted.lora)
    from leylora.models.load import silence_libraries

    silence_libraries()
    console.note(f"Loading {base} ({wanted.load}) with {len(variants) - 1} adapters …")
    engine = Engine.load(base, variants, wanted.load)
    engine.prepare(first)
    longest = wanted.max_tokens or min(MAX_NEW_TOKENS, engine.window // 4)
    name = wanted.preset or preset_for(first)
    sampling, ignored = preset(name, Sampling(max_new_tokens=longest, seed=wanted.seed))
    if ignored:
        console.note(f"The preset {name} sets what has no effect here: {', '.join(ignored)}.")
    return Started(engine, index, Settings(first, sampling, wanted.system), name)


def choose(model: str | None, adapter: str | None, lora: Path) -> tuple[str, dict[str, Variant], str]:
    """The base, its variants by name, and the one to begin with: the adapter asked for, or the base's first combined.

    Raises:
        LeyloraError: there is no model, no such adapter, or it cannot be used.
    """
    base = choose_base(model, adapter, lora)
    found = find_variants(base, lora)
    for reason in found.skipped:
        console.note(f"left out: {reason}")
    if adapter is None:
        for end in ("combined", "law", "instructions"):
            if named := [name for name in found.variants if name.endswith(end)]:
                return base, found.variants, min(named, key=len)
        return base, found.variants, BASE
    if adapter != BASE and adapter not in found.variants:
        variant = adapter_variant(find_adapter(adapter, lora))
        found.variants[variant.name] = variant  # asked for by name: also on a base it does not name itself
        return base, found.variants, variant.name
    return base, found.variants, adapter
