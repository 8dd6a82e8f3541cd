"""From a law's file to articles that can be named, compared and cited: `leylora.laws.parse.parse_law` is the trip."""
