"""text-generation-webui: artifacts that it loads, and a client that notices when it did not.

Its ways, as far as they matter here, were read in its source and seen in runs of v4.9 (May 2026):
folders moved to ``user_data/`` in v3.1, only the Transformers loader of the full installation applies LoRAs,
a dot in a LoRA folder's name fails, and a wrong LoRA is answered with "OK".
"""
