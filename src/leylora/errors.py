"""The one kind of exception a user should ever see."""


class LeyloraError(Exception):
    """A fault the user can mend.

    ``str(error)`` is a sentence (or two) that names the cause, the place (file, line, article, key) and the
    remedy. Commands print it on standard error without a traceback and exit with ``exit_code``.
    """

    exit_code = 1


class UsageError(LeyloraError):
    """The command was asked for something it cannot mean: an unknown name, two options that exclude each other."""

    exit_code = 2
