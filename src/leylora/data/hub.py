"""Rows of a dataset on the Hugging Face Hub, through the ``datasets`` library and its resumable cache."""

import os
from collections.abc import Iterator
from typing import Any

from leylora.errors import LeyloraError


def hub_rows(
    name: str,
    *,
    config: str | None,
    split: str,
    revision: str | None,
    columns: dict[str, str],
    where: dict[str, str],
    offline: bool,
) -> Iterator[dict[str, Any]]:
    """Rows of ``name``, filtered by ``where`` (column -> wanted value), with our names beside theirs.

    A download that was cut is taken up where it stopped when the same command runs again.

    Args:
        offline: read the local cache only.

    Raises:
        LeyloraError: the dataset is not in the cache and may or can not be downloaded, or lacks a column.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # read when `datasets` is imported
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        table = datasets.load_dataset(name, config, split=split, revision=revision)
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        raise LeyloraError(
            f"The dataset {name} is a Python script, which is not run here. Set `revision: refs/convert/parquet` in "
            "the mixture to read the Hub's converted files, if it has them, or download the data and set `path:`."
        ) from None
    except (ConnectionError, HfHubHTTPError, FileNotFoundError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LeyloraError(
            f"The dataset {name} could not be loaded from the Hub ({first}). Run again with a connection (downloads "
            f"are resumed), or download its files and set `path:` instead of `hub:` in the mixture."
        ) from None
    missing = {*columns.values(), *where} - set(table.column_names)
    if missing:
        raise LeyloraError(
            f"The dataset {name} has no column {', '.join(sorted(missing))}; it has {', '.join(table.column_names)}."
        )
    if where:
        names = list(where)
        table = table.filter(lambda *values: [str(value) for value in values] == [where[name] for name in names],
                             input_columns=names)  # fmt: skip
    for row in table:
        yield {**row, **{ours: row[theirs] for ours, theirs in columns.items()}}
