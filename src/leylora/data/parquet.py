"""The rows as Parquet, with the one schema every split of every mixture has."""

from collections.abc import Sequence
from pathlib import Path

from leylora.data.conversation import Conversation


def write_parquet(path: Path, rows: Sequence[Conversation]) -> None:
    """Write ``rows`` to ``path``; messages become a list of ``{role, content}``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    turns = pa.list_(pa.struct([("role", text), ("content", text)]))
    names = [name for name in Conversation.model_fields if name != "messages"]
    fields = [pa.field(name, turns if name == "messages" else text) for name in Conversation.model_fields]
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    columns["messages"] = [[turn.model_dump() for turn in row.messages] for row in rows]
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), path, compression="zstd")
