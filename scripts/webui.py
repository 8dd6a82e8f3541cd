"""Talk to text-generation-webui over its API: generate, chat, models, LoRAs, tokens."""

from leylora import console
from leylora.webui.commands import app

if __name__ == "__main__":
    console.run(app)
