"""What can go wrong between the client and a server, each with its remedy in the message."""

from leylora.errors import LeyloraError


class WebuiError(LeyloraError):
    """Any failure of a call to the server."""


class ServerDownError(WebuiError):
    """Nothing answers at the address."""


class TimedOutError(WebuiError):
    """The server took the request and did not answer in time; it may still be at work on it."""


class UnauthorizedError(WebuiError):
    """The key is missing or wrong; the webui has one key for everything and one for models and LoRAs."""


class RequestRefusedError(WebuiError):
    """The server refused the request (status 4xx) and did nothing."""


class ServerFailedError(WebuiError):
    """The server failed at the request (status 5xx) or answered with something unreadable."""


class NoModelError(WebuiError):
    """No model is loaded, so nothing can be generated."""


class EmptyAnswerError(WebuiError):
    """Status 200 and no text: how the webui answers when the generation itself failed."""


class StreamCutError(WebuiError):
    """A stream ended before its last chunk, or was damaged; ``text`` is what had come until then."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class LoraError(WebuiError):
    """A LoRA could not be applied, or was and changes nothing."""
