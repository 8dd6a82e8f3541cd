"""A client for the webui's API that knows what its answers hide; plain calls work with any OpenAI-compatible server.

`calls` says what one HTTP request looks like and how its answer is read, `procedures` which calls a method makes
and what it concludes.
"""

from leylora.webui.client.blocking import Client
from leylora.webui.client.errors import (
    EmptyAnswerError,
    LoraError,
    NoModelError,
    RequestRefusedError,
    ServerDownError,
    ServerFailedError,
    StreamCutError,
    TimedOutError,
    UnauthorizedError,
    WebuiError,
)
from leylora.webui.client.options import Sampling, ServerSettings
from leylora.webui.client.schemas import Answer, Chunk, LoraEffect, ModelInfo, Usage

__all__ = [
    "Answer",
    "Chunk",
    "Client",
    "EmptyAnswerError",
    "LoraEffect",
    "LoraError",
    "ModelInfo",
    "NoModelError",
    "RequestRefusedError",
    "Sampling",
    "ServerDownError",
    "ServerFailedError",
    "ServerSettings",
    "StreamCutError",
    "TimedOutError",
    "UnauthorizedError",
    "Usage",
    "WebuiError",
]
