"""What a base model's name tells without loading it: its configuration, its weights' hash, whether it is here.

Imports nothing heavy, so that adapters can be found and a finished comparison read without torch.
"""

import hashlib
import json
import re
import socket
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from leylora.errors import LeyloraError, flattened
from leylora.files import read_json_object, sha256_file

Load = Literal["4bit", "8bit", "16bit"]

TINY_BASES = Path("data/build/models")  # where `demo --base-only` puts the small models


def config_of(name: str, revision: str | None = None) -> dict[str, Any]:
    """The ``config.json`` of a local folder or Hub model. Raises LeyloraError when it cannot be had."""
    check_path(name)
    path = Path(name) / "config.json"
    if not path.is_file():
        from huggingface_hub import hf_hub_download  # half a second

        try:
            path = Path(hf_hub_download(name, "config.json", revision=revision, local_files_only=without_network(name)))
        except (OSError, ValueError) as error:
            raise cannot_load(name, error) from None
    config = read_json_object(path)
    check_attention(name, config)
    if not isinstance(config.get("model_type"), str):
        raise LeyloraError(f"{path} names no model_type, so {name} is not a model that can be loaded.")
    return config


def base_sha256(name: str, revision: str | None = None) -> str:
    """Which weights a base's name means: ``sha256:`` over all weight files of a folder, or the commit of a Hub model.

    A folder with one weight file has the hash of that file. A Hub model that is not in the cache has its revision.
    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(folder.glob("*.safetensors"))
        states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return f"sha256:{_sha256_of_files(tuple(states))}"
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError:  # a path that is gone is not a Hub name either
        cached = None
    return Path(cached).parent.name if isinstance(cached, str) else revision or "main"


@cache  # by size and time of change too: hashing 15 GB takes half a minute
def _sha256_of_files(files: tuple[tuple[str, int, int], ...]) -> str:
    digests = [sha256_file(Path(path)) for path, _, _ in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def same_base(one: str, other: str | None) -> bool:
    """Whether two names mean one base: the same text, or the same folder."""
    return other is not None and (one == other or (Path(one).is_dir() and Path(one).resolve() == Path(other).resolve()))


def is_here(name: str) -> bool:
    """Whether a model is a folder here or in the Hub's cache, so that nothing must be downloaded."""
    return Path(name).is_dir() or base_sha256(name) != "main"


def check_path(name: str) -> None:
    """Raise LeyloraError when ``name`` is a path without a model; otherwise the Hub would be asked for it."""
    path = Path(name)
    if path.is_file():
        raise LeyloraError(f"{name} is a file and not a model; name the model's folder.")
    if path.is_dir():
        if not (path / "config.json").is_file():
            why = "is a folder without config.json, so it is not a model"
            raise LeyloraError(f"{name} {why}; name the model's folder.")
    elif path.is_absolute() or path.parts[:1] in {("data",), ("..",)} or name.startswith(".") or len(path.parts) > 2:
        tiny = path.parent == TINY_BASES
        remedy = f"make it with: python scripts/demo.py --base-only --family {path.name}" if tiny else "check the path"
        raise LeyloraError(f"The base model {name} does not exist; {remedy}.")


_PLAIN_WEIGHTS = re.compile(r"[\w][\w.-]*\.safetensors")


def check_weights(name: str) -> None:
    """Refuse a model folder whose weights are not plain safetensors files inside it. ``use_safetensors`` looks for the
    index file only, and would load the pickles, or the files elsewhere, that a stranger's index names.

    Raises:
        LeyloraError: there are no such weights, or the index names something else.
    """
    folder = Path(name)
    if not folder.is_dir() or (folder / "model.safetensors").is_file():
        return
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise LeyloraError(f"The base model {name} cannot be loaded: it has no model.safetensors; take another copy.")
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise LeyloraError(f"{index} has no weight_map; get the model's files anew.")
    for file in sorted({str(value) for value in weight_map.values()}):
        if not _PLAIN_WEIGHTS.fullmatch(file):
            raise LeyloraError(
                f"{index} names {file[:100]!r}, which is no safetensors file of this folder; only those are loaded."
            )
        if not (folder / file).is_file():
            raise LeyloraError(f"{index} names {file}, which is not there; get the model's files anew.")


def check_attention(name: str, config: Any) -> None:
    """Refuse a configuration that asks for an attention kernel from the Hub, which would be native code unasked."""
    for key in ("_attn_implementation", "attn_implementation"):
        asked = config.get(key) if isinstance(config, dict) else getattr(config, key, None)
        if isinstance(asked, str) and "/" in asked:
            raise LeyloraError(
                f"{name}: its config.json asks for the attention kernel {asked!r} from the Hub; take that line out."
            )


def cannot_load(name: str, error: BaseException) -> LeyloraError:
    return LeyloraError(
        f"The base model {name} cannot be loaded ({flattened(error).rstrip('.')}). Check the name and the network; for "
        "a gated model such as Llama-2 accept its licence on its page, then run `hf auth login`."
    )


def without_network(name: str) -> bool:
    """Whether ``name`` is a Hub model and the Hub cannot be reached, so that only its cache is to be asked."""
    return not Path(name).is_dir() and not _hub_has_address()


@cache  # huggingface_hub 1.x asks six times, over half a minute, before it says that there is no network
def _hub_has_address() -> bool:
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if getproxies() or not host:  # a proxy resolves names itself
        return True
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
