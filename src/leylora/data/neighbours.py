"""Wrong articles worth showing: those beside the right one, those that use its rare words, and others."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from random import Random

from leylora.laws.law import Article, Law
from leylora.text import fold

WORD = re.compile(r"[^\W\d_]{5,}")
RARE_WORDS = 8  # of an article, looked up in the others
COMMON = 60  # a word in more articles than this tells them apart no longer
NEAR = 6


class Pool:
    """The articles in force of one law that may stand in a prompt, in printed order."""

    def __init__(self, law: Law, numbers: Iterable[str] | None = None) -> None:
        wanted = None if numbers is None else set(numbers)
        self.articles = [row for row in law.articles if row.in_force and (wanted is None or row.number in wanted)]
        self._place = {row.number: at for at, row in enumerate(self.articles)}
        self._folded: dict[str, str] = {}
        self._printed = {row.number: at for at, row in enumerate(law.articles)}

    def holds(self, article: Article) -> bool:
        """Whether the article is one of the pool's."""
        return article.number in self._place

    def words_of(self, article: Article) -> str:
        """Rubric and body of one of the pool's articles, folded for comparing."""
        if article.number not in self._folded:
            self._folded[article.number] = fold(f"{article.rubric or ''} {article.body}")
        return self._folded[article.number]

    def distractors(self, article: Article, chance: Random) -> Iterator[Article]:
        """Articles other than ``article``, each once: near, similar and distant ones in random turns."""
        place = self._place.get(article.number)
        if place is None:
            after = self._printed.get(article.number, 0)
            place = sum(self._printed[row.number] < after for row in self.articles)
        near = [at for at in range(place - NEAR, place + NEAR + 1) if 0 <= at < len(self.articles)]
        chance.shuffle(near)
        similar = self._similar(article)
        distant = chance.sample(range(len(self.articles)), min(len(self.articles), 12))
        queues = [near, similar, distant]
        seen: set[int] = {self._place[article.number]} if article.number in self._place else set()
        while any(queues):
            queue = chance.choice([queue for queue in queues if queue])
            at = queue.pop(0)
            if at not in seen:
                seen.add(at)
                yield self.articles[at]

    def _similar(self, article: Article) -> list[int]:
        """Up to four articles with most of this one's rare words."""
        words = sorted(set(_words(article)), key=lambda word: (len(self._holders.get(word, ())), word))
        votes: Counter[int] = Counter()
        for word in [word for word in words if 1 < len(self._holders.get(word, ())) <= COMMON][:RARE_WORDS]:
            votes.update(self._holders[word])
        votes.pop(self._place.get(article.number, -1), None)
        return [at for at, _ in sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))[:4]]

    @cached_property
    def _holders(self) -> dict[str, list[int]]:
        holders: dict[str, list[int]] = {}
        for at, row in enumerate(self.articles):
            for word in set(_words(row)):
                holders.setdefault(word, []).append(at)
        return holders


def _words(article: Article) -> list[str]:
    return [word.lower() for word in WORD.findall(f"{article.rubric or ''} {article.body}")]
