"""Whether adapters may be merged at all: every reason to refuse, checked before anything is computed or written."""

from collections.abc import Sequence
from pathlib import Path

from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import Adapter
from leylora.adapters.weights import Parent, layer_of, matches
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def check_mergeable(parents: Sequence[Parent], adapters: Sequence[Adapter], *, same_base: bool = False) -> None:
    """Check that the adapters belong to one base model and one task and fit each other.

    ``same_base`` is the user's word that different names of the base model mean the same weights.

    Raises:
        UsageError: fewer than two adapters, one twice, or a pattern that matches none of its adapter's modules.
        LeyloraError: they do not fit; the message names the key, the module or the file.
    """
    if len(adapters) < 2:
        raise UsageError("A merge needs at least two adapters; name them both.")
    if len({adapter.folder.resolve() for adapter in adapters}) < len(adapters):
        raise UsageError("The same adapter folder is named twice; to double an adapter, give it the weight 2.")
    first = adapters[0]
    for other in adapters[1:]:
        if not same_base:
            _check_same_base(first, other)
        _check_same_config(first, other)
        _check_same_shapes(first, other)
        _check_same_vocabulary(first, other)
    _check_overrides(parents, adapters)
    _check_full_tensors(parents, adapters)


def union_of_modules(adapters: Sequence[Adapter]) -> list[str]:
    """Every module any of the adapters has, layer by layer."""
    names = dict.fromkeys(name for adapter in adapters for name in adapter.modules)
    return sorted(names, key=lambda name: -1 if (layer := layer_of(name)) is None else layer)


def shared_files(adapters: Sequence[Adapter]) -> tuple[list[str], str | None]:
    """The tokenizer and chat-template files to hand on, and why there are none although some parent has them.

    They are handed on together or not at all: a tokenizer made of two halves is no tokenizer.
    """
    present = [[name for name in TOKENIZER_FILES if (adapter.folder / name).is_file()] for adapter in adapters]
    first = adapters[0]
    for adapter, names in zip(adapters, present, strict=True):
        odd = sorted(set(names) ^ set(present[0])) or [
            name for name in names if (adapter.folder / name).read_bytes() != (first.folder / name).read_bytes()
        ]
        if odd:
            return [], f"No tokenizer was carried over: {odd[0]} is not the same in {first.name} and {adapter.name}."
    return present[0], None


def _check_same_base(first: Adapter, other: Adapter) -> None:
    remedy = "use adapters of one base, or say --same-base if both names mean the same weights"
    for key in ("base_model_name_or_path", "revision"):
        mine, theirs = (_plain(getattr(adapter.config, key)) for adapter in (first, other))
        if mine != theirs:
            values = f"{mine or 'not given'} and {theirs or 'not given'}"
            raise LeyloraError(f"{first.name} and {other.name} differ in {key}: {values}; {remedy}.")


def _plain(value: str | None) -> str | None:
    """A base name or revision without what makes no difference."""
    return None if value in (None, "main") else value.rstrip("/")


def _check_same_config(first: Adapter, other: Adapter) -> None:
    mine, theirs = first.config, other.config
    if None not in (mine.task_type, theirs.task_type) and mine.task_type != theirs.task_type:
        raise LeyloraError(
            f"{first.name} is for {mine.task_type} and {other.name} for {theirs.task_type}; merge like with like."
        )
    if mine.fan_in_fan_out != theirs.fan_in_fan_out:
        raise LeyloraError(f"{first.name} and {other.name} differ in fan_in_fan_out, so one of the configs is wrong.")


def _check_same_shapes(first: Adapter, other: Adapter) -> None:
    for name, mine in first.modules.items():
        theirs = other.modules.get(name)
        if theirs and (mine.d_out, mine.d_in) != (theirs.d_out, theirs.d_in):
            vocabulary = " (the vocabularies differ in size)" if mine.d_in != theirs.d_in and "embed" in name else ""
            raise LeyloraError(
                f"{name} is {mine.d_out} x {mine.d_in} in {first.name} and {theirs.d_out} x {theirs.d_in} in "
                f"{other.name}{vocabulary}: they were trained on different models."
            )


def _check_same_vocabulary(first: Adapter, other: Adapter) -> None:
    """Tokenizers that came with the adapters must give the same ids; formatting may differ."""
    paths = [adapter.folder / "tokenizer.json" for adapter in (first, other)]
    if not all(path.is_file() for path in paths) or paths[0].read_bytes() == paths[1].read_bytes():
        return
    mine, theirs = (_vocabulary(path) for path in paths)
    if mine != theirs:
        example = next(iter(sorted(set(mine.items()) ^ set(theirs.items()))))
        raise LeyloraError(
            f"The tokenizers of {first.name} ({len(mine)} tokens) and {other.name} ({len(theirs)}) differ, "
            f"for example in {example[0]!r} (id {example[1]}); train both with the same vocabulary."
        )


def _vocabulary(path: Path) -> dict[str, int]:
    """Token to id, added tokens included, of a ``tokenizer.json``."""
    tokenizer = read_json(path)
    try:
        vocab = tokenizer["model"]["vocab"]
        # Unigram models list [token, score] pairs: the id is the position.
        ids = vocab if isinstance(vocab, dict) else {token: index for index, (token, _) in enumerate(vocab)}
        return dict(ids) | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    except (KeyError, TypeError, ValueError):
        raise LeyloraError(f"{path} is no tokenizer file; restore or delete it.") from None


def _check_overrides(parents: Sequence[Parent], adapters: Sequence[Adapter]) -> None:
    """A pattern that matches nothing is a slip, and would leave the weight it was to change."""
    for parent, adapter in zip(parents, adapters, strict=True):
        for pattern, _ in parent.overrides:
            if not any(matches(pattern, module) for module in adapter.modules):
                example = next(iter(adapter.modules))
                raise UsageError(f"{pattern!r} matches no module of {adapter.name}; they look like {example}.")


def _check_full_tensors(parents: Sequence[Parent], adapters: Sequence[Adapter]) -> None:
    """Whole weights (a trained head, an embedding saved along) have no delta without the base: they are taken over."""
    owners = [(parent, adapter) for parent, adapter in zip(parents, adapters, strict=True) if adapter.full_tensors]
    if len(owners) == len(adapters) and _all_equal(adapters):
        return
    if len(owners) > 1:
        names = " and ".join(adapter.name for _, adapter in owners)
        raise LeyloraError(
            f"{names} both hold whole weights that differ ({owners[0][1].full_tensors[0]}), which cannot be added "
            "without the base model; train one of them without modules_to_save or trained embeddings."
        )
    for parent, adapter in owners:
        if parent.weight != 1 or parent.overrides:
            raise LeyloraError(
                f"{adapter.folder / CONFIG_FILE}: {adapter.name} holds whole weights "
                f"({adapter.full_tensors[0]}), which cannot be scaled without the base model; give it the weight 1."
            )


def _all_equal(adapters: Sequence[Adapter]) -> bool:
    """Whether all adapters hold the same whole weights, as when PEFT saved an embedding it did not train."""
    import torch

    first, *others = adapters
    return all(sorted(other.full_tensors) == sorted(first.full_tensors) for other in others) and all(
        torch.equal(first.tensor(key), other.tensor(key)) for other in others for key in first.full_tensors
    )
