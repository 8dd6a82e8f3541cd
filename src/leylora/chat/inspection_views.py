"""An inspection for the terminal and as one HTML file."""

import html

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from leylora.chat.inspection import Candidate, Inspection

_SHADES = ((0.5, "green4", "#c6f6d5"), (0.1, "green3", "#e6ffed"), (0.01, "dark_orange", "#feebc8"))
_RARE = ("red3", "#fed7d7")
_VISIBLE = str.maketrans({"\n": "⏎", "\t": "⇥", "\r": "␍"})
_NOTABLE = 0.5  # nats: below this a difference is not coloured


def visible(text: str) -> str:
    """A token as one can see it: blanks as ``·``, line ends as ``⏎``, control characters as their names."""
    shown = text.translate(_VISIBLE).replace(" ", "·")
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in shown)


def colours(probability: float | None) -> tuple[str, str]:
    """Terminal and page colour of a probability, from likely (green) to unlikely (red)."""
    if probability is None:
        return "dim", "#edf2f7"
    return next(((name, code) for least, name, code in _SHADES if probability >= least), _RARE)


def coloured_line(inspection: Inspection, variant: int) -> Text:
    """The text, each token in the colour of its probability under a variant."""
    line = Text()
    for text, reading in zip(inspection.texts, inspection.variants[variant].tokens, strict=True):
        line.append(visible(text), style=colours(reading.probability)[0])
    return line


def token_table(inspection: Inspection) -> Table:
    """A row a token: id, then each variant's probability; beside the first one's, what the others changed in nats."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("token", no_wrap=True)
    table.add_column("id", justify="right")
    for number, variant in enumerate(inspection.variants):
        table.add_column(escape(variant.name), justify="right")
        if number == 0:
            table.add_column("entropy", justify="right")
    for at, (token, text) in enumerate(zip(inspection.ids, inspection.texts, strict=True)):
        cells: list[Text] = [Text(visible(text)), Text(str(token), style="dim")]
        for number, variant in enumerate(inspection.variants):
            reading = variant.tokens[at]
            cell = Text("" if reading.probability is None else percent(reading.probability))
            cell.stylize(colours(reading.probability)[0])
            gain = inspection.gain(number, at)
            if number and gain is not None:
                style = "green" if gain > _NOTABLE else "red" if gain < -_NOTABLE else "dim"
                cell.append(f" {gain:+.1f}", style=style)
            cells.append(cell)
            if number == 0:
                cells.append(Text("" if reading.entropy is None else f"{reading.entropy:.2f}", style="dim"))
        table.add_row(*cells)
    return table


def next_table(inspection: Inspection) -> Table:
    """The likeliest next tokens, a column a variant."""
    table = Table(box=None, header_style="bold", pad_edge=False, title="next token", title_justify="left")
    for variant in inspection.variants:
        table.add_column(escape(variant.name), no_wrap=True)
    for row in zip(*(variant.expected for variant in inspection.variants), strict=True):
        table.add_row(*(Text(f"{percent(one.probability):>7} {visible(one.text)}") for one in row))
    return table


def summary(inspection: Inspection) -> list[str]:
    """A line a variant: mean loss and perplexity over the text, and how open the next token is."""
    return [
        f"{one.name}: loss {one.loss:.3f} nats a token, perplexity {one.perplexity:,.1f}; "
        f"entropy of the next token {one.entropy:.2f} nats"
        for one in inspection.variants
        if one.loss is not None and one.perplexity is not None
    ]


def percent(probability: float) -> str:
    """A probability as a percentage, or as a power of ten where that would be all zeros."""
    if probability < 1e-5:
        return f"{probability:.0e}"
    return f"{probability:.1%}" if probability >= 0.01 else f"{probability:.3%}"


_STYLE = """
body { font: 15px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a202c; }
.text span { border-radius: 3px; padding: .1rem 0; white-space: pre-wrap; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #e2e8f0; }
th:first-child, td:first-child { text-align: left; } code { white-space: pre; }
.up { color: #276749; } .down { color: #c53030; } small { color: #718096; }
"""


def page(inspection: Inspection) -> str:
    """The inspection as one HTML file: nothing is loaded, everything is escaped."""
    texts = "".join(_coloured_text(inspection, number) for number in range(len(inspection.variants)))
    names = "".join(f"<th>{html.escape(one.name)}</th>" for one in inspection.variants)
    rows = "".join(
        f"<tr><td><code>{html.escape(visible(text))}</code></td><td>{token}</td>"
        + "".join(_cell(inspection, number, at) for number in range(len(inspection.variants)))
        + "</tr>"
        for at, (token, text) in enumerate(zip(inspection.ids, inspection.texts, strict=True))
    )
    coming = "".join(
        "<tr>" + "".join(_candidate(one) for one in row) + "</tr>"
        for row in zip(*(variant.expected for variant in inspection.variants), strict=True)
    )
    return (
        '<!doctype html><html lang="es"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(inspection.model)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{html.escape(inspection.model)}</h1>{texts}"
        "<p><small>Verde: el modelo lo esperaba; rojo: no. Bajo cada variante, la probabilidad de cada token y lo que "
        "cambia su logaritmo (nats) frente a la primera.</small></p>"
        f'<div class="scroll"><table><tr><th>token</th><th>id</th>{names}</tr>{rows}</table></div>'
        f'<h2>Token siguiente</h2><div class="scroll"><table><tr>{names}</tr>{coming}</table></div></body></html>\n'
    )


def _coloured_text(inspection: Inspection, number: int) -> str:
    variant = inspection.variants[number]
    spans = "".join(
        f'<span style="background:{colours(reading.probability)[1]}" title="{_hint(text, reading.probability)}">'
        f"{html.escape(text)}</span>"
        for text, reading in zip(inspection.texts, variant.tokens, strict=True)
    )
    loss = "" if variant.loss is None else f" <small>{variant.loss:.3f} nats por token</small>"
    return f'<h2>{html.escape(variant.name)}{loss}</h2><p class="text">{spans}</p>'


def _hint(text: str, probability: float | None) -> str:
    return html.escape(visible(text) + ("" if probability is None else f" {percent(probability)}"))


def _cell(inspection: Inspection, number: int, at: int) -> str:
    reading = inspection.variants[number].tokens[at]
    if reading.probability is None:
        return "<td></td>"
    gain = inspection.gain(number, at) if number else None
    kind = "" if gain is None or abs(gain) <= _NOTABLE else ' class="up"' if gain > 0 else ' class="down"'
    change = "" if gain is None else f" <small{kind}>{gain:+.2f}</small>"
    return f'<td style="background:{colours(reading.probability)[1]}">{percent(reading.probability)}{change}</td>'


def _candidate(one: Candidate) -> str:
    return f"<td><code>{html.escape(visible(one.text))}</code> {percent(one.probability)}</td>"
