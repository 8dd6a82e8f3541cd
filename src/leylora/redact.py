"""Tokens, keys and passwords stay out of everything that is written or printed.

Records, cards and reports are handed on, and error messages are pasted into public places. A setting that is a secret
is refused where it would be recorded (`is_secret`); what another library or a server says is shown without whatever
looks like one (`scrubbed`).
"""

import re
from urllib.parse import urlsplit

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:hub|hf|wandb|api|access|auth|bearer|push_to_hub|personal)_?(?:token|key)$|secret|passw|credential|apikey",
    re.IGNORECASE,
)
HIDDEN = "…"
_LOOKS_SECRET = re.compile(
    r"""
    \b(?:hf|gh[opsur]|gsk|sk|pk|rk|xox[abeprs]|glpat|github_pat|npm|pypi)[_-][A-Za-z0-9_\-]{10,}   # tokens by prefix
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b | \bAIza[\w\-]{30,}                                           # AWS, Google
    | \beyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*                                                        # JSON web tokens
    | (?<=[Bb]earer\ )[^\s"',;]{4,} | (?<=[Bb]asic\ )[A-Za-z0-9+/=]{8,}
    | (?<=://)[^\s/@"']+(?=@)                                                                     # user:password@
    """,
    re.VERBOSE,
)
_NAMED = re.compile(
    r"\b((?:api[_-]?key|access[_-]?key|token|secret|passw(?:or)?d|contrase[ñn]a)[\"']?\s?[=:]\s?[\"']?)[^\s\"'&,;<]{4,}",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: "hub_token", "api_key"; not "pad_token" or "max_new_tokens"."""
    return bool(_SECRET_NAME.search(name.replace("-", "_")))


def scrubbed(text: str) -> str:
    """A text without what looks like a token, a key, a password or the user part of an address."""
    return _NAMED.sub(rf"\1{HIDDEN}", _LOOKS_SECRET.sub(HIDDEN, text))


def plain_address(url: str) -> str:
    """An address as it may be shown: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else scrubbed(url)
