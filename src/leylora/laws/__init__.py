"""From a law's file to articles that can be named, compared and cited, with an audit of what was read.

    from leylora.grounding.citations import parse_citations
    from leylora.laws.parse import parse_file

    law = parse_file("constitucion.pdf")
    law["76"].numeral(7).literal("a").text
    parse_citations("numeral 7 del artículo 76 de la Constitución", [law])

`leylora.laws.parse.parse_law` is the place to begin reading.
"""
