"""What the libraries below say on every run and nobody can act on."""

import logging
import warnings


def hush() -> None:
    """Leave the terminal to our own progress and notes.

    Silenced: transformers' announcements of its next major version about arguments TRL sets, progress bars of
    steps that take a second, and bitsandbytes' missing optional CPU kernel. Errors and other warnings stay.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # before its first import, which is when it speaks

    import datasets
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"trl\..*")
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
