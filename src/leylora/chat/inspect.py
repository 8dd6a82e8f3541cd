"""A look inside: what a base and its adapters make of a text, token by token.

Takes a text and a model with its adapters; gives an `Inspection`, which `show` prints and `page` writes as one HTML
file. Each variant costs one forward pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from torch import Tensor, tensor

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant, find_adapter, read_variant
from leylora.chat.dialogue import choose, whole
from leylora.errors import UsageError
from leylora.files import write_text
from leylora.models.bases import Load
from leylora.models.generate import TooLongError, spelled
from leylora.models.load import silence_libraries


class Reading(NamedTuple):
    """One token of the text as one variant sees it coming. The first follows nothing and has none of these."""

    logprob: float | None = None  # after the tokens before it, in nats
    entropy: float | None = None  # of the distribution it was drawn from, in nats
    rank: int | None = None  # its place in that distribution, from 1

    @property
    def probability(self) -> float | None:
        return None if self.logprob is None else math.exp(self.logprob)


class Candidate(NamedTuple):
    """A token that may come next."""

    id: int
    text: str
    probability: float


class VariantReading(NamedTuple):
    """A variant's view of a text."""

    name: str
    tokens: tuple[Reading, ...]
    expected: tuple[Candidate, ...]
    entropy: float  # of the next token, in nats
    loss: float | None  # mean of the text's tokens, in nats


@dataclass(frozen=True)
class Inspection:
    """A text under one or more variants; differences are taken against the first."""

    model: str
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    variants: tuple[VariantReading, ...]

    def gain(self, variant: int, token: int) -> float | None:
        """What a variant adds to a token's log-probability over the first variant, in nats."""
        mine, first = (self.variants[at].tokens[token].logprob for at in (variant, 0))
        return None if mine is None or first is None else mine - first


def inspect(model: AdaptedModel, text: str, variants: Sequence[Variant] = (BASE,), top: int = 10) -> Inspection:
    """Read a text with each variant, one forward pass each, and name the ``top`` likeliest next tokens."""
    if not text.strip():
        raise UsageError("There is nothing to inspect; give a text.")
    ids = model.plain_prompt(whole(text))
    if len(ids) > model.window:
        raise TooLongError(len(ids), model.window)
    readings = []
    for variant in variants:
        logprobs = model.logits(variant, ids).log_softmax(-1)  # (T, V): row t is about token t + 1
        seen = logprobs[:-1].gather(1, tensor(ids[1:], dtype=int)[:, None])  # (T - 1, 1)
        ranks = 1 + (logprobs[:-1] > seen).sum(-1)
        spread = entropy(logprobs)
        rows = zip(seen[:, 0].tolist(), spread[:-1].tolist(), ranks.tolist(), strict=True)
        best = logprobs[-1].topk(min(top, logprobs.shape[-1]))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        expected = tuple(Candidate(at, spelled(model.tokenizer, at), math.exp(value)) for at, value in pairs)
        loss = -float(seen.mean()) if len(ids) > 1 else None
        tokens = (Reading(), *(Reading(*row) for row in rows))
        readings.append(VariantReading(variant.name, tokens, expected, float(spread[-1]), loss))
    texts = tuple(spelled(model.tokenizer, token) for token in ids)
    return Inspection(model.name, tuple(ids), texts, tuple(readings))


def entropy(logprobs: Tensor) -> Tensor:
    """Entropy in nats of each row of log-probabilities, (T, V) to (T)."""
    return -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)


_SHADES = ((0.5, "green4", "#c6f6d5"), (0.1, "green3", "#e6ffed"), (0.01, "dark_orange", "#feebc8"))
_RARE = ("red3", "#fed7d7")
_VISIBLE = str.maketrans({"\n": "⏎", "\t": "⇥", "\r": "␍", " ": "·"})
_NOTABLE = 0.5  # nats: a smaller difference is not coloured


def visible(text: str) -> str:
    """A token as one can see it: blanks as ``·``, line ends as ``⏎``, control characters as their codes."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text.translate(_VISIBLE))


def colours(probability: float | None) -> tuple[str, str]:
    """Terminal and page colour of a probability."""
    if probability is None:
        return "dim", "#edf2f7"
    return next(((name, code) for least, name, code in _SHADES if probability >= least), _RARE)


def percent(probability: float | None) -> str:
    """A probability as a percentage, or as a power of ten where that would be all zeros."""
    if probability is None:
        return ""
    if probability < 1e-5:
        return f"{probability:.0e}"
    return f"{probability:.1%}" if probability >= 0.01 else f"{probability:.3%}"


def direction(gain: float | None) -> str:
    """The colour of a difference: ``green`` or ``red`` when it is notable, else ``dim``."""
    return "dim" if gain is None or abs(gain) <= _NOTABLE else "green" if gain > 0 else "red"


def coloured_line(inspection: Inspection, variant: int) -> Text:
    """The text, each token in the colour of its probability under a variant."""
    line = Text()
    for text, reading in zip(inspection.texts, inspection.variants[variant].tokens, strict=True):
        line.append(visible(text), style=colours(reading.probability)[0])
    return line


def show(inspection: Inspection) -> None:
    """Print the coloured text under each variant, a table of its tokens, the next tokens, and a line of figures."""
    tokens = Table(box=None, header_style="bold", pad_edge=False)
    tokens.add_column("token", no_wrap=True)
    names = [variant.name for variant in inspection.variants]
    short = iter(console.without_common_start([name for name in names if name != BASE.name]))
    titles = [escape(name if name == BASE.name else next(short)) for name in names]
    for title in ("id", "entropy", *titles):
        tokens.add_column(title, justify="right")
    for at, (token, text) in enumerate(zip(inspection.ids, inspection.texts, strict=True)):
        spread = inspection.variants[0].tokens[at].entropy
        cells = [Text(visible(text)), Text(str(token), style="dim")]
        cells.append(Text("" if spread is None else f"{spread:.2f}", style="dim"))
        for number, variant in enumerate(inspection.variants):
            probability = variant.tokens[at].probability
            cell = Text(percent(probability), style=colours(probability)[0])
            if number and (gain := inspection.gain(number, at)) is not None:
                cell.append(f" {gain:+.1f}", style=direction(gain))
            cells.append(cell)
        tokens.add_row(*cells)
    coming = Table(box=None, header_style="bold", pad_edge=False, title="next token", title_justify="left")
    for title in titles:
        coming.add_column(title, no_wrap=True)
    for row in zip(*(variant.expected for variant in inspection.variants), strict=True):
        coming.add_row(*(Text(f"{percent(one.probability):>7} {visible(one.text)}") for one in row))
    for number, variant in enumerate(inspection.variants):
        console.out.print(variant.name, style="bold", markup=False)
        console.out.print(coloured_line(inspection, number))
    console.out.print("", tokens, "", coming)
    for variant in inspection.variants:
        if variant.loss is not None:
            console.say(
                f"{variant.name}: loss {variant.loss:.3f} nats a token, perplexity {math.exp(variant.loss):,.1f}; "
                f"entropy of the next token {variant.entropy:.2f} nats"
            )


_PAGE = """<!doctype html><html lang="es"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{{ seen.model }}</title><style>
body { font: 15px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a202c; }
.text span { border-radius: 3px; padding: .1rem 0; white-space: pre-wrap; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #e2e8f0; }
th:first-child, td:first-child { text-align: left; } code { white-space: pre; }
.green { color: #276749; } .red { color: #c53030; } small { color: #718096; }
</style></head><body><h1>{{ seen.model }}</h1>
{% for one in seen.variants %}
<h2>{{ one.name }}{% if one.loss is not none %} <small>{{ "%.3f" % one.loss }} nats por token</small>{% endif %}</h2>
<p class="text">{% for text in seen.texts %}{% set p = one.tokens[loop.index0].probability -%}
<span style="background:{{ colours(p)[1] }}" title="{{ visible(text) }} {{ percent(p) }}">{{ text }}</span>
{%- endfor %}</p>{% endfor %}
<p><small>Verde: el modelo lo esperaba; rojo: no. Bajo cada variante, la probabilidad de cada token y lo que
cambia su logaritmo (nats) frente a la primera.</small></p>
{% macro names() %}{% for one in seen.variants %}<th>{{ one.name }}</th>{% endfor %}{% endmacro %}
<div class="scroll"><table><tr><th>token</th><th>id</th>{{ names() }}</tr>
{% for text in seen.texts %}{% set at = loop.index0 %}<tr><td><code>{{ visible(text) }}</code></td>
<td>{{ seen.ids[at] }}</td>{% for one in seen.variants %}{% set p = one.tokens[at].probability -%}
<td style="background:{{ colours(p)[1] }}">{{ percent(p) }}{% set gain = seen.gain(loop.index0, at) -%}
{% if loop.index0 and gain is not none %} <small class="{{ direction(gain) }}">{{ "%+.2f" % gain }}</small>{% endif -%}
</td>{% endfor %}</tr>{% endfor %}</table></div>
<h2>Token siguiente</h2><div class="scroll"><table><tr>{{ names() }}</tr>
{% for at in range(seen.variants[0].expected | length) %}<tr>{% for one in seen.variants %}
<td><code>{{ visible(one.expected[at].text) }}</code> {{ percent(one.expected[at].probability) }}</td>
{% endfor %}</tr>{% endfor %}</table></div></body></html>
"""


def page(inspection: Inspection) -> str:
    """One HTML file that loads nothing; every text in it is escaped."""
    template = Environment(autoescape=True).from_string(_PAGE)
    return template.render(seen=inspection, colours=colours, visible=visible, percent=percent, direction=direction)


def run(
    text: str, model: str | None, adapters: Sequence[str], load: Load, top: int, html: Path | None, lora: Path
) -> None:
    """Load a base and its adapters, inspect a text and show it; the base always comes first.

    Raises:
        LeyloraError: ``html`` exists, the text is empty or too long, or a model or adapter cannot be loaded.
    """
    if html is not None and html.exists():
        raise UsageError(f"{html} already exists; choose another name.")
    base, known, _ = choose(model, adapters[0] if adapters else None, lora)
    by_role = [[one for one in known.values() if one.role == role] for role in ("instructions", "law", "merged")]
    shown = [min(named, key=lambda one: len(one.name)) for named in by_role if named] or list(known.values())[1:4]
    if adapters:
        asked = [known[name] if name in known else read_variant(find_adapter(name, lora)) for name in adapters]
        shown = list({one.name: one for one in asked if one != BASE}.values())
    silence_libraries()
    inspection = inspect(AdaptedModel(base, load), text, [BASE, *shown], top)
    show(inspection)
    if html is not None:
        write_text(html, page(inspection))
        console.note(f"Wrote {html}.")
