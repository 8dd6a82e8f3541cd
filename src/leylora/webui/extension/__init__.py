"""The extension of text-generation-webui (`script.py`, `hooks.py`), and how it is put together (`artifact.py`)."""
