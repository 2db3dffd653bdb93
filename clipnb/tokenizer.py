"""From words to integers, with CLIP's byte-pair vocabulary (paper §2.4) or one of our own.

Both lower-case a text, start it with [SOS], end it with [EOS], and pad a batch with 0 to its
longest text. CLIP's also repairs a text first (see `clean_text`).
"""

import gzip
import html
import importlib.util
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as BytePairEncoder
from torch import Tensor

from clipnb.disk import write_file
from clipnb.places import check_path, display_path, display_value
from clipnb.recipe_checks import check_whole_number

SOS, EOS = "<start_of_text>", "<end_of_text>"
LONGEST_WORD = 1000  # letters that a vocabulary is learned from in one piece
CLIP_EOS = 49_407  # the last id of CLIP's vocabulary, which is told by it
# CLIP's merges happen inside these pieces: words, contractions, single digits, punctuation.
PIECES = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
# The same pieces as CLIP's own code finds them. There [SOS] and [EOS] that somebody wrote into a
# text are pieces too. And that code ignores case, so a "ſ" counts as an "s", and a lone iota
# subscript (U+0345), whose capital is a letter, fits none of the pieces and is dropped.
CLIP_PIECES = Regex(
    "<[sſ]tart_of_text>|<end_of_text>|"
    r"""'[sſ]|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}\x{345}]+"""
)


class Tokenizer:
    """Strings to token ids.

    Raises ValueError for a vocabulary without [SOS] and [EOS], and for a context length that leaves
    no room between the two, or is no whole number.

    Call it on a list of strings: it returns int64 (N, T), T being the longest text of the list and
    0 being padding. Texts longer than `context_length` are cut; their last token is still [EOS].
    """

    def __init__(self, bpe: BytePairEncoder, context_length: int = 77):
        self.bpe = bpe
        self.context_length = check_whole_number("context_length", context_length)
        self.sos = bpe.token_to_id(SOS)
        self.eos = bpe.token_to_id(EOS)
        if self.sos is None or self.eos is None:
            raise ValueError(f"its vocabulary has no {SOS} and {EOS}")
        self.cleans = self.eos == CLIP_EOS
        if self.cleans:
            bpe.normalizer = normalizers.Sequence([])  # `clean_text` stands in its place
            bpe.encode_special_tokens = True  # CLIP_PIECES finds them, not the library

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.bpe.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Turn one string into ids, without [SOS] and [EOS]. Raises TypeError for anything else."""
        return self._encode_all([text])[0]

    def normalize(self, text: str) -> str:
        """Return a text as its pieces are read from it: in lower case, runs of spaces as one.

        Raises TypeError for what is no string.
        """
        text = check_text(text)
        return clean_text(text) if self.cleans else self.bpe.normalizer.normalize_str(text)

    def split(self, text: str) -> list[str]:
        """Return the pieces of a text, inside which merges happen: words, digits, punctuation."""
        text = self.normalize(text)
        places = self.bpe.pre_tokenizer.pre_tokenize_str(text)
        return [text[start:end] for _, (start, end) in places]

    def _encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """Turn strings into ids, without [SOS] and [EOS]."""
        texts = check_texts(texts)
        if self.cleans:
            texts = [clean_text(text) for text in texts]
        encodings = self.bpe.encode_batch_fast(texts, add_special_tokens=False)  # no offsets
        rows = [encoding.ids for encoding in encodings]
        if self.cleans:
            for i, text in enumerate(texts):
                if SOS in text or EOS in text:
                    rows[i] = self._encode_pieces(text)
        return rows

    def _encode_pieces(self, text: str) -> list[int]:
        """Turn a clean text into ids, piece by piece, in which [SOS] and [EOS] have their own."""
        ids = []
        for piece, _ in self.bpe.pre_tokenizer.pre_tokenize_str(text):
            if piece in (SOS, EOS):
                ids.append(self.bpe.token_to_id(piece))
            else:
                ids += [token.id for token in self.bpe.model.tokenize(piece)]
        return ids

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Turn ids (a list or a 1-d tensor) into a lower-case string.

        [SOS], [EOS] and the padding after [EOS] are allowed, and left out. Raises ValueError for an
        id that is not in the vocabulary.
        """
        ids = torch.as_tensor(ids)
        if (ids == self.eos).any():
            ids = ids[padding_mask(ids)]
        last = self.vocab_size - 1
        if strange := [i for i in ids.tolist() if not 0 <= i <= last]:
            raise ValueError(f"{strange[0]} is no id of this vocabulary: 0 to {last:,}.")
        pieces = [self.bpe.id_to_token(i) for i in ids.tolist() if i not in (self.sos, self.eos)]
        words = "".join(pieces).split("</w>")
        return " ".join(decoders.ByteLevel().decode([word]) for word in words).strip()

    def __call__(self, texts: Iterable[str]) -> Tensor:
        """Turn N strings into int64 (N, T).

        Raises TypeError for a single string, and for what is no string.
        """
        return pad_rows(self.encode_rows(texts))

    def encode_rows(self, texts: Iterable[str]) -> list[list[int]]:
        """Turn N strings into N lists of ids, with [SOS] and [EOS]. Raises TypeError as above."""
        room = self.context_length - 2
        return [[self.sos, *ids[:room], self.eos] for ids in self._encode_all(texts)]

    def save(self, path: str | Path) -> None:
        """Write vocabulary and merges as one JSON file.

        Other programs can read it with the library tokenizers. They join accents with their
        letters and lower-case a text, and leave out the other repairs of `clean_text`. The file
        replaces an earlier one. Raises FileExistsError if something else is there.
        """
        bpe = BytePairEncoder.from_str(self.bpe.to_str())
        bpe.normalizer = make_normalizer()
        if check_path(path).is_file() and not holds_tokenizer(path):
            raise FileExistsError(
                f"{display_path(path)} is there already and is no tokenizer of clipnb; choose "
                "another name, or delete it first."
            )
        write_file(path, bpe.to_str(pretty=True))


def check_text(text: str, name: str = "a text") -> str:
    """Return a text as the vocabulary can read it. Raises TypeError for what is no string.

    Half of a character that takes two code units, as a browser may send it while an emoji is
    typed, is replaced by U+FFFD. name: what a message calls the text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} is a string, not {display_value(text)} ({type(text).__name__}).")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_texts(texts: Iterable[str], name: str = "a text") -> list[str]:
    """Return texts as a list, each as `check_text` does. name: what a message calls one of them.

    Raises TypeError for a single string, whose letters would count as texts, and for what is no
    list of strings.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        shown = f"{display_value(texts)} ({type(texts).__name__})"
        raise TypeError(f"a list of strings is wanted, such as ['a dog', 'a cat'], not {shown}.")
    return [check_text(text, name) for text in texts]


def clean_text(text: str) -> str:
    """Repair a text as CLIP's own code does, and lower-case it.

    It resolves HTML entities ("&amp;"), and leaves one space between words. The library ftfy, which
    comes with open_clip_torch, repairs the rest: text that was decoded wrongly ("cafÃ©"), curly
    quotes, ligatures, full-width letters, control characters. Without ftfy all of that stays as it
    is, except that accents are still joined with their letters, so such a text gets other ids.
    """
    if not (text.isascii() and text.isprintable() and "&" not in text):  # else nothing to repair
        text = html.unescape(html.unescape(fix_text(text)))
    return " ".join(text.split()).lower()


def fix_text(text: str) -> str:
    """Repair a text with ftfy if it is installed, else only join accents with their letters."""
    try:
        import ftfy
    except ImportError:
        return unicodedata.normalize("NFC", text)
    return ftfy.fix_text(text)


def pad_rows(rows: Sequence[list[int]]) -> Tensor:
    """Turn N lists of ids into int64 (N, T), T being the longest one; 0 is padding."""
    longest = max(map(len, rows), default=0)
    padded = [[*ids, *[0] * (longest - len(ids))] for ids in rows]
    return torch.tensor(padded, dtype=torch.int64).view(len(rows), longest)


def padding_mask(tokens: Tensor) -> Tensor:
    """Tell which tokens are real: tokens (..., T) to bool (..., T).

    Id 0 is padding, but in CLIP's vocabulary it is also the "!" of "!%", a "!" that ends no word.
    So a 0 counts as padding only if nothing but 0 follows. [EOS] is never 0, so a "!" inside a
    text stays visible.
    """
    return tokens.flip(-1).cumsum(-1).flip(-1) > 0


def trim_padding(tokens: Tensor) -> Tensor:
    """Cut off the columns of tokens (..., T) in which every row is padding."""
    longest = padding_mask(tokens).sum(dim=-1).max()
    return tokens[..., :longest]


def make_normalizer() -> normalizers.Normalizer:
    """Make what lower-cases a text. A run of spaces counts as one space."""
    one_space = normalizers.Replace(Regex(r"\s+"), " ")
    return normalizers.Sequence([normalizers.NFC(), one_space, normalizers.Lowercase()])


def byte_level_bpe(model: models.BPE, pieces: Regex = PIECES) -> BytePairEncoder:
    """Build a lower-casing byte-level BPE around `model`. Merges happen inside `pieces`."""
    bpe = BytePairEncoder(model)
    bpe.normalizer = make_normalizer()
    split = pre_tokenizers.Split(pieces, behavior="removed", invert=True)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    return bpe


@cache
def clip_tokenizer(context_length: int = 77) -> Tokenizer:
    """Load CLIP's own tokenizer from open_clip's vocabulary file.

    It has 49,408 ids: 256 bytes, the same 256 ending a word, 48,894 merges, [SOS] and [EOS]. A text
    gets the ids that OpenAI's own code gives it (see `clean_text`), with one exception: which
    characters are letters is a matter of the version of Unicode. A letter that Unicode has only had
    for a year or two, such as U+0558, may be split in another way.
    """
    package = importlib.util.find_spec("open_clip")  # found, not imported: importing takes seconds
    folder = Path(package.origin).parent
    with gzip.open(folder / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    n_merges = 49152 - 256 - 2
    merges = [tuple(line.split()) for line in lines[1 : n_merges + 1]]
    characters = sorted(pre_tokenizers.ByteLevel.alphabet(), key=byte_order)
    endings = [character + "</w>" for character in characters]
    merged = ["".join(pair) for pair in merges]
    entries = [*characters, *endings, *merged, SOS, EOS]
    vocabulary = {entry: i for i, entry in enumerate(entries)}
    model = models.BPE(vocabulary, merges, end_of_word_suffix="</w>")
    bpe = byte_level_bpe(model, CLIP_PIECES)
    bpe.add_special_tokens([SOS, EOS])
    return Tokenizer(bpe, context_length)


def byte_order(character: str) -> tuple[bool, int]:
    """Return the sort key by which GPT-2's and CLIP's vocabularies list the 256 byte characters.

    Printable characters come first, then the stand-ins from U+0100 on.
    """
    return (ord(character) >= 256, ord(character))


def train_tokenizer(
    captions: Iterable[str], vocab_size: int = 4096, context_length: int = 77
) -> Tokenizer:
    """Learn a byte-pair vocabulary of at most `vocab_size` ids from captions.

    Bytes that no caption holds have no id and are dropped. So where the captions are plain English,
    a text in another script has no tokens. Raises ValueError if `vocab_size` does not even hold
    the special tokens and the single characters, or if it or `context_length` is outside of what a
    recipe may have; TypeError for a single string.
    """
    vocab_size = check_whole_number("vocab_size", vocab_size)
    context_length = check_whole_number("context_length", context_length)
    captions = [split_long_words(caption) for caption in check_texts(captions, "a caption")]
    specials = ["<pad>", SOS, EOS]

    def learn(size: int, known: list[str]) -> dict:
        bpe = byte_level_bpe(models.BPE(end_of_word_suffix="</w>"))
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=known,
            end_of_word_suffix="</w>",
            show_progress=False,
        )
        bpe.train_from_iterator(captions, trainer)
        return json.loads(bpe.to_str())["model"]

    # The trainer numbers the characters that end a word in random order, another one in every
    # call, and breaks ties by number. If it knows them beforehand, in order, it learns the same
    # vocabulary from the same captions every time. Seeds and resuming rely on that.
    characters = learn(0, specials)["vocab"]
    endings = sorted(entry for entry in characters if entry.endswith("</w>"))
    learned = learn(vocab_size, specials + endings)
    if len(learned["vocab"]) > vocab_size:
        raise ValueError(
            f"a vocabulary of {vocab_size} ids is too small: the special tokens and the single "
            f"characters of these captions alone are {len(learned['vocab'])}."
        )
    merges = [tuple(merge) for merge in learned["merges"]]
    bpe = byte_level_bpe(models.BPE(learned["vocab"], merges, end_of_word_suffix="</w>"))
    bpe.add_special_tokens(specials)
    return Tokenizer(bpe, context_length)


def split_long_words(text: str) -> str:
    """Put a space after every `LONGEST_WORD` letters of a longer word.

    Nothing is learned from such a word, and it would cost the trainer the square of its length.
    """
    return re.sub(rf"(\S{{{LONGEST_WORD}}})(?=\S)", r"\1 ", text)


def load_tokenizer(path: str | Path, context_length: int = 77) -> Tokenizer:
    """Read what `Tokenizer.save` wrote.

    Raises OSError if there is no such file, ValueError if it holds no tokenizer, or for a context
    length that no recipe may have.
    """
    context_length = check_whole_number("context_length", context_length)
    content = check_path(path).read_bytes()
    try:
        return Tokenizer(BytePairEncoder.from_buffer(content), context_length)
    except Exception as error:  # the library raises nothing more special
        raise ValueError(
            f"{display_path(path)} holds no tokenizer ({error}). Nothing was loaded; write it anew "
            "with `tokenizer.save(path)`."
        ) from error


def holds_tokenizer(path: str | Path) -> bool:
    """Tell whether a file can be replaced by a tokenizer: it holds one of ours, or nothing."""
    content = Path(path).read_bytes()
    try:
        return not content or bool(Tokenizer(BytePairEncoder.from_buffer(content)))
    except Exception:
        return False
