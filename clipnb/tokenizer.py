"""From words to integers: CLIP's own byte-pair vocabulary (paper §2.4) and a small one trained on the captions.

Both start a text with [SOS] and end it with [EOS], lower-case it, and pad a batch with 0 to its longest text.
"""

import gzip
import importlib.util
import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as BPE

SOS, EOS = "<start_of_text>", "<end_of_text>"
# Words, contractions, single digits and runs of punctuation: the pieces inside which CLIP's merges happen.
PIECES = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")


class Tokenizer:
    """Strings to token ids. Called on a list of strings it gives int64 (N, T), T the longest text of the list, 0 is padding.

    Longer texts than `context_length` are cut; their last token is still [EOS].
    """

    def __init__(self, bpe, context_length=77):
        self.bpe, self.context_length = bpe, context_length
        self.sos, self.eos = bpe.token_to_id(SOS), bpe.token_to_id(EOS)

    @property
    def vocab_size(self):
        """The number of token ids."""
        return self.bpe.get_vocab_size()

    def encode(self, text):
        """One string -> list of ids, without [SOS] and [EOS]."""
        return self.bpe.encode(text, add_special_tokens=False).ids

    def decode(self, ids):
        """Ids (list or 1-d tensor, padding and [SOS], [EOS] allowed) -> lower-case string."""
        ids = torch.as_tensor(ids)
        if (ids == self.eos).any():
            ids = ids[padding_mask(ids[None])[0]]
        pieces = "".join(self.bpe.id_to_token(i) for i in ids.tolist() if i not in (self.sos, self.eos))
        return " ".join(decoders.ByteLevel().decode([word]) for word in pieces.split("</w>")).strip()

    def __call__(self, texts):
        if isinstance(texts, str):
            raise TypeError("a tokenizer takes a list of strings, not one string: tokenizer([text])")
        room = self.context_length - 2
        rows = [[self.sos, *encoding.ids[:room], self.eos] for encoding in self.bpe.encode_batch(list(texts), add_special_tokens=False)]
        tokens = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
        for row, ids in zip(tokens, rows):
            row[: len(ids)] = torch.tensor(ids)
        return tokens  # (N, T)

    def save(self, path):
        """Write vocabulary and merges as one JSON file."""
        self.bpe.save(str(path))


def padding_mask(tokens):
    """True where a token is real: tokens (N, T) -> bool (N, T).

    Id 0 is padding, but in CLIP's vocabulary it is also the "!" of "!%", one that ends no word. A 0 is padding only if nothing
    but 0 follows; [EOS] is never 0, so a "!" inside a text stays visible.
    """
    return tokens.flip(-1).cumsum(-1).flip(-1) > 0


def byte_level_bpe(model):
    """A lower-casing byte-level BPE around `model`; runs of spaces count as one."""
    bpe = BPE(model)
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return bpe


@cache
def clip_tokenizer(context_length=77):
    """CLIP's own tokenizer: 49,408 ids (256 bytes, the same 256 ending a word, 48,894 merges, [SOS], [EOS]), read from open_clip's vocabulary file."""
    folder = Path(importlib.util.find_spec("open_clip").origin).parent  # found, not imported: open_clip takes seconds to import
    with gzip.open(folder / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    characters = sorted(pre_tokenizers.ByteLevel.alphabet(), key=byte_order)
    entries = characters + [c + "</w>" for c in characters] + ["".join(merge) for merge in merges] + [SOS, EOS]
    model = models.BPE({entry: i for i, entry in enumerate(entries)}, merges, end_of_word_suffix="</w>")
    bpe = byte_level_bpe(model)
    bpe.add_special_tokens([SOS, EOS])
    return Tokenizer(bpe, context_length)


def byte_order(character):
    """The order in which GPT-2's and CLIP's vocabularies list the 256 byte characters: printable ones first, then stand-ins from U+0100."""
    return (ord(character) >= 256, ord(character))


def train_tokenizer(captions, vocab_size=4096, context_length=77):
    """A byte-pair vocabulary of at most `vocab_size` ids learned from `captions` (a list of strings).

    Bytes that no caption holds have no id and are dropped: where the captions are plain English, a text in another script has no tokens.
    Raises ValueError if `vocab_size` does not even hold the special tokens and the single characters.
    """
    specials, captions = ["<pad>", SOS, EOS], list(captions)

    def learn(size, known):
        bpe = byte_level_bpe(models.BPE(end_of_word_suffix="</w>"))
        bpe.train_from_iterator(captions, trainers.BpeTrainer(
            vocab_size=size, special_tokens=known, end_of_word_suffix="</w>", show_progress=False))
        return json.loads(bpe.to_str())["model"]

    # The trainer numbers the characters that end a word in random order, another one in every call, and breaks ties by number.
    # Told of them beforehand, in order, it learns the same from the same captions every time: seeds and resuming rely on that.
    endings = sorted(entry for entry in learn(0, specials)["vocab"] if entry.endswith("</w>"))
    learned = learn(vocab_size, specials + endings)
    if len(learned["vocab"]) > vocab_size:
        raise ValueError(f"a vocabulary of {vocab_size} ids is too small: the special tokens and the single characters of these captions "
                         f"alone are {len(learned['vocab'])}.")
    bpe = byte_level_bpe(models.BPE(learned["vocab"], [tuple(merge) for merge in learned["merges"]], end_of_word_suffix="</w>"))
    bpe.add_special_tokens(specials)
    return Tokenizer(bpe, context_length)


def load_tokenizer(path, context_length=77):
    """Read what `Tokenizer.save` wrote."""
    return Tokenizer(BPE.from_file(str(path)), context_length)
