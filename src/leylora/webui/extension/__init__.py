"""The extension of text-generation-webui: its files, and how they are put together for an installation.

`script.py` and `hooks.py` are copied, with the modules of leylora they need and the index of laws, into a folder that
runs on the standard library alone: nothing has to be installed in the webui's own Python.
"""
