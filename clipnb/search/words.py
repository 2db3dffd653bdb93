"""The words of a query: which of them a model knows, and how the others may be meant.

A vocabulary learned from captions holds their frequent words whole and spells all others in pieces.
CLIP's own vocabulary holds most words whole, also those that the captions of a run never held. So
with CLIP's vocabulary the words of the training captions (`known_words`) tell what a run knows.

The neighbours of an unknown word are sought in its spelling, not in its vector. Its vector is the
mean of pieces that hardly mean anything: with the recipe `quick`, the words nearest to "zebra" are
"beneath" and "than", and with `two_minutes` on Flickr8k "robe" and "scarves".
"""

import bisect
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from clipnb.tokenizer import Tokenizer

# The end of "dog's" is a piece of its own in the vocabulary, and no word.
WORD = re.compile(r"(?<![^\W\d_]['’])(?<![^\W\d_])[^\W\d_]+")
SHORTEST = 3  # letters of a word whose spelling is corrected
LONGEST = 40
SHORT = 4  # up to here, a word with more than `FEW` equally near neighbours may mean any of them
FEW = 3
LONG = 8  # from here on, a word may be two edits away
EXPLAINED = 5  # unknown words of a text for which neighbours are sought
ECHOED = 40  # letters of a word that a sentence repeats
CLIP_SIZE = 49408  # ids of CLIP's vocabulary
N_COLUMNS = 32  # letters are counted in so many columns; rare ones share a column


@dataclass(frozen=True)
class UnknownWord:
    """A word that a model does not know.

    spelling: the known word that it most likely stands for, or None. nearest: up to three known
    words that are nearest in spelling, best first; it begins with `spelling` if there is one.
    is_certain: False if only the vocabulary tells, and it is CLIP's: the captions that a published
    model was trained on are not here, and it may well know a word of several pieces.
    """

    word: str
    spelling: str | None = None
    nearest: list[str] = field(default_factory=list)
    is_certain: bool = True


# ---- finding ---------------------------------------------------------------------------------


def find_words(text: str) -> list[str]:
    """Find the words of a text, each once, in lower case. Digits and punctuation are no words."""
    normalized = unicodedata.normalize("NFC", text.lower())
    return list(dict.fromkeys(WORD.findall(normalized)))


def collect_words(captions: Iterable[Iterable[str]], at_least: int = 1) -> set[str]:
    """Collect the words of N lists of captions, as `known_words` wants them.

    at_least: in how many captions a word must occur. A word that was read once is hardly known.
    """
    counts = Counter(word for own in captions for caption in own for word in find_words(caption))
    return {word for word, count in counts.items() if count >= at_least}


def find_unknown_words(
    tokenizer: Tokenizer,
    text: str,
    known_words: Collection[str] | None = None,
    still_typing: bool = False,
) -> list[str]:
    """Find the words of a text that a model does not know.

    By default these are the words that are no single token. The vocabulary spells them in pieces,
    or not at all, so the model has hardly met them. With `known_words`, the words of the training
    captions, they are those that are not among them.

    still_typing: the last word is left out if it is the beginning of a known one ("a red do").
    """
    words = find_words(text)
    if known_words is None:
        unknown = [word for word in words if not is_single_token(tokenizer, word)]
    else:
        unknown = [word for word in words if word not in known_words]
    if still_typing and unknown and unknown[-1] == find_last_word(text):
        index = index_known_words(tokenizer, known_words)
        if index.has_beginning(unknown[-1]):
            unknown.pop()
    return unknown


def is_single_token(tokenizer: Tokenizer, word: str) -> bool:
    """Tell whether a word is one token of the vocabulary."""
    ids = tokenizer.encode(word)
    return len(ids) == 1 and tokenizer.decode(ids) == word  # a letter without a token is dropped


def find_last_word(text: str) -> str | None:
    """Return the word that a text ends with, or None if it ends with anything else."""
    words = find_words(text[-2 * LONGEST :])
    normalized = unicodedata.normalize("NFC", text[-2 * LONGEST :].lower())
    return words[-1] if words and normalized.endswith(words[-1]) else None


# ---- explaining ------------------------------------------------------------------------------


def explain_unknown_words(
    tokenizer: Tokenizer,
    text: str,
    known_words: Collection[str] | None = None,
    still_typing: bool = False,
) -> list[UnknownWord]:
    """Find the words of a text that a model does not know, and the known ones near in spelling.

    The arguments are those of `find_unknown_words`. Of a long text only the first unknown words get
    neighbours.
    """
    unknown = find_unknown_words(tokenizer, text, known_words, still_typing)
    if not unknown:
        return []
    index = index_known_words(tokenizer, known_words)
    explained = [index.explain(word) for word in unknown[:EXPLAINED]]
    explained += [UnknownWord(word) for word in unknown[EXPLAINED:]]
    is_certain = known_words is not None or not is_clip_vocabulary(tokenizer)
    return [replace(word, is_certain=is_certain) for word in explained]


def is_clip_vocabulary(tokenizer: Tokenizer) -> bool:
    """Tell whether a vocabulary is CLIP's own, which was not learned from a run's captions."""
    return tokenizer.vocab_size == CLIP_SIZE


def describe_unknown_words(unknown: list[UnknownWord], text: str = "") -> str:
    """Say in plain sentences what `explain_unknown_words` found; "" if that is nothing.

    text: the query; if it has no other word, the sentence says what that means for the order. The
    sentence repeats words of the query: escape it where it becomes HTML.
    """
    if not unknown:
        return ""
    sentences = [describe_unknown_word(word) for word in unknown[:3]]
    if not unknown[0].is_certain:
        return " ".join(sentences)
    if len(unknown) > 3:
        more = "another word" if len(unknown) == 4 else f"{len(unknown) - 3:,} more words"
        sentences.append(f"Nor does it know {more} of this text.")
    if len(unknown) == len(find_words(text)):
        sentences.append("It knows no other word here, so the order of the images means little.")
    return " ".join(sentences)


def describe_unknown_word(unknown: UnknownWord) -> str:
    """Say in a sentence that a word is unknown and which ones are near."""
    word = unknown.word
    word = word if len(word) <= ECHOED else word[: ECHOED - 1] + "…"
    start = f"This model does not know the word “{word}”"
    if not unknown.is_certain:
        start = f"CLIP's vocabulary spells the word “{word}” in pieces; the model may know it"
    if unknown.spelling:
        return f"{start}; did you mean “{unknown.spelling}”?"
    if unknown.nearest and unknown.is_certain:
        return f"{start}; nearest in spelling it knows “{'”, “'.join(unknown.nearest)}”."
    return f"{start}."


# ---- near in spelling ------------------------------------------------------------------------


class SpellingIndex:
    """Known words, frequent ones first, among which the nearest to a misspelt one is sought.

    counts: int8 (N, 32), how often each word has each letter. Two words whose letters differ more
    often than n times are more than n edits apart, so most words need no closer look.
    """

    def __init__(self, words: Iterable[str]):
        self.words = [word for word in words if len(word) <= LONGEST]
        self.alphabetical = sorted(self.words)
        self.counts = np.zeros((len(self.words), N_COLUMNS), np.int8)
        for row, word in zip(self.counts, self.words, strict=True):
            count_letters(word, row)

    def has_beginning(self, letters: str) -> bool:
        """Tell whether any known word begins with some letters."""
        i = bisect.bisect_left(self.alphabetical, letters)
        return i < len(self.alphabetical) and self.alphabetical[i].startswith(letters)

    def explain(self, word: str) -> UnknownWord:
        """Find the known words nearest in spelling to an unknown one."""
        if not SHORTEST <= len(word) <= LONGEST:
            return UnknownWord(word)
        for most in range(1, largest_distance(word) + 1):
            found = self.find_within(word, most)
            if found:
                ambiguous = len(word) <= SHORT and len(found) > FEW
                return UnknownWord(word) if ambiguous else UnknownWord(word, found[0], found[:3])
        return UnknownWord(word, None, self.find_relatives(word))

    def find_within(self, word: str, most: int) -> list[str]:
        """Find the known words at most `most` edits away: the most plausible ones, frequent first.

        The same letters, swapped, doubled or not, are more plausible than other letters. Then the
        same first letter is: hardly anybody gets it wrong.
        """
        own = np.zeros(N_COLUMNS, np.int8)
        count_letters(word, own)
        surplus = self.counts - own  # (N, 32)
        missing = np.maximum(surplus, 0).sum(axis=1, dtype=np.int16)
        extra = np.maximum(-surplus, 0).sum(axis=1, dtype=np.int16)
        candidates = np.flatnonzero(np.maximum(missing, extra) <= most)
        near = [self.words[i] for i in candidates]
        near = [known for known in near if count_edits(word, known, most) <= most]
        if most > 1:
            near = [known for known in near if known[0] == word[0]]
        ranks = [(set(word) != set(known), word[0] != known[0]) for known in near]
        best = min(ranks, default=None)
        return [known for known, rank in zip(near, ranks, strict=True) if rank == best]

    def find_relatives(self, word: str) -> list[str]:
        """Find up to three known words that begin as a word does: "skate" for "skateboarding"."""
        start = word[: max(SHORT + 1, len(word) // 2)]
        i = bisect.bisect_left(self.alphabetical, start)
        relatives = [known for known in self.alphabetical[i : i + 100] if known.startswith(start)]
        return sorted(relatives, key=lambda known: abs(len(known) - len(word)))[:3]


def largest_distance(word: str) -> int:
    """Return how many edits may lie between a word and its correction."""
    return 1 if len(word) < LONG else 2


def count_letters(word: str, counts: np.ndarray) -> None:
    """Add the letters of a word to counts (32,). Letters beyond a to z share columns."""
    for letter in word:
        counts[ord(letter) % N_COLUMNS] += 1


def count_edits(one: str, other: str, most: int) -> int:
    """Count the edits from one word to another: letters added, dropped, changed, or swapped.

    A swap is one of two neighbouring letters (optimal string alignment, the common form of
    Damerau's distance). Returns `most + 1` for anything above `most`.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            edits = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                edits = min(edits, before[j - 2] + 1)
            row.append(edits)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return min(last[-1], most + 1)


def index_known_words(tokenizer: Tokenizer, known_words: Collection[str] | None) -> SpellingIndex:
    """Return the index of a vocabulary's own words or of given ones. It is built once."""
    if known_words is None:
        return index_vocabulary(tokenizer)
    return index_words(tokenizer, frozenset(known_words))


@functools.lru_cache(maxsize=4)
def index_vocabulary(tokenizer: Tokenizer) -> SpellingIndex:
    """Index the words that are single tokens. Tokens that were learned first are frequent ones."""
    return SpellingIndex(list_whole_words(tokenizer))


@functools.lru_cache(maxsize=4)
def index_words(tokenizer: Tokenizer, known_words: frozenset[str]) -> SpellingIndex:
    """Index given words: first those that are single tokens, in their order, then the others."""
    whole = [word for word in list_whole_words(tokenizer) if word in known_words]
    return SpellingIndex([*whole, *sorted(known_words.difference(whole))])


def list_whole_words(tokenizer: Tokenizer) -> list[str]:
    """List the words that are single tokens of a vocabulary, in the order of their ids.

    A learned vocabulary also has some ends of words, such as "ys", which cannot be told from words.
    """
    words = []
    entries = tokenizer.bpe.get_vocab()
    for entry in sorted(entries, key=entries.get):
        if not entry.endswith("</w>"):
            continue
        word = entry.removesuffix("</w>")
        if not word.isascii():
            word = tokenizer.decode([entries[entry]])
        if len(word) > 1 and WORD.fullmatch(word):
            words.append(word)
    return words
