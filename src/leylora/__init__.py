"""leylora: QLoRA adapters for Spanish instructions and Ecuadorian law, from the PDF to the chat.

The rooms, in the order the data takes: ``laws``, ``data``, ``models``,
``adapters``, ``training``, ``webui``, ``evaluation``, ``chat``, ``combining``, ``demo``. A room imports
only rooms named before it. Importing ``leylora`` loads nothing heavy: torch, transformers and datasets are imported by
the functions that need them.
"""

import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it notes a missing optional kernel at its first import

__version__ = "0.1.0"
