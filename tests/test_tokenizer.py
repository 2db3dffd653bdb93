"""Our two tokenizers: CLIP's against open_clip's own code, and what both promise."""

import hashlib
import random
import sys
import unicodedata

import pytest
import torch
from tokenizers import Tokenizer as BytePairEncoder
from tokenizers.models import WordPiece

from clipnb import clip_tokenizer, padding_mask, train_tokenizer
from clipnb.tokenizer import (
    LONGEST_WORD,
    clean_text,
    fix_text,
    load_tokenizer,
    split_long_words,
)

TEXTS = [
    "A black dog is running after a white dog in the snow .",
    "wow! a dog, two dogs' ball & 1234 #5",
    "",
    "ÜBER größe naïve café",
    "it's  the\tbird's nest; don't I'll we've",
    "狗在雪地里",
    "🐕 dog",
    "!!!",
    "a!b",
    "x" * 500,
]


@pytest.fixture(scope="module", params=["clip", "captions"])
def tokenizer(request):
    if request.param == "clip":
        return clip_tokenizer()
    return train_tokenizer(TEXTS * 3, vocab_size=400)


# ---- both tokenizers -------------------------------------------------------------------------


def test_shorter_texts_are_padded_with_zero_to_the_longest(tokenizer):
    tokens = tokenizer(["a dog", "a black dog is running"])
    short, long = tokens
    assert tokens.dtype == torch.int64
    assert (short == 0).any()
    assert not (long == 0).any()


def test_texts_start_with_sos_and_end_with_eos(tokenizer):
    short, long = tokenizer(["a dog", "a black dog is running"])
    assert short[0] == tokenizer.sos
    assert long[0] == tokenizer.sos
    assert long[-1] == tokenizer.eos


def test_long_texts_are_cut_and_still_end_with_eos(tokenizer):
    tokens = tokenizer(["dog " * 200])
    assert tokens.shape == (1, tokenizer.context_length)
    assert tokens[0, -1] == tokenizer.eos


def test_decoding_returns_the_text(tokenizer):
    text = "a black dog is running after a white dog"
    assert tokenizer.decode(tokenizer.encode(text.upper())) == text
    padded, _ = tokenizer([text, text + " in the snow"])
    assert tokenizer.decode(padded) == text


def test_a_single_string_is_refused(tokenizer):
    with pytest.raises(TypeError, match="list of strings"):
        tokenizer("a dog")


# ---- CLIP's ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_clips():
    """open_clip's own tokenizer."""
    return pytest.importorskip("open_clip").get_tokenizer("ViT-B-32")


def check_same_tokens(open_clips, texts):
    theirs = open_clips(texts)
    ours = clip_tokenizer()(texts)
    length = ours.shape[1]
    differ = (ours != theirs[:, :length]).any(dim=1).nonzero()[:, 0].tolist()
    assert not differ, [ascii(texts[i]) for i in differ[:5]]
    assert not theirs[:, length:].any(), "open_clip pads to 77 tokens"


def test_clips_tokens_equal_open_clips(open_clips):
    assert clip_tokenizer().vocab_size == 49_408
    check_same_tokens(open_clips, TEXTS)


REPAIRED = {
    "the dog\u2019s ball": "the dog's ball",
    "a \u201cred\u201d dog": 'a "red" dog',
    "cats &amp;amp; dogs": "cats & dogs",
    "the dog&#39;s &lt;ball&gt;": "the dog's <ball>",
    "a caf\u00c3\u00a9": "a caf\u00e9",
    "cafe\u0301": "caf\u00e9",
    "a \ufb01sh": "a fish",
    "\uff41 \uff44\uff4f\uff47": "a dog",
    "\u039f\u0394\u039f\u03a3": "\u03bf\u03b4\u03bf\u03c2",  # the last sigma has its own form
    "\u0130I\u0131i": "i\u0307i\u0131i",  # a Turkish capital i keeps its dot
    "\ufeffa dog": "a dog",
    "a\0dog\x1b[31m": "adog",
    " a\r\n\tdog\u2028 \u3000": "a dog",
}


@pytest.mark.parametrize("text", REPAIRED)
def test_a_text_is_repaired_as_clips_own_code_repairs_it(open_clips, text):
    pytest.importorskip("ftfy")
    assert clean_text(text) == REPAIRED[text]
    assert clip_tokenizer().normalize(text) == REPAIRED[text]
    check_same_tokens(open_clips, [text])


def test_specials_written_into_a_text_are_tokens_where_clips_own_code_finds_them(open_clips):
    tokenizer = clip_tokenizer()
    assert tokenizer.encode("<END_OF_TEXT>dog") == [tokenizer.eos, *tokenizer.encode("dog")]
    assert tokenizer.eos not in tokenizer.encode("dog.<end_of_text>")  # ".<" is one piece
    texts = [
        "a<start_of_text>b <end_of_text>!",
        "dog.<end_of_text> cat",
        "<END_OF_TEXT>dog",
        "&lt;start_of_text&gt;",
        "<\u017ftart_of_text> it'\u017f",  # case is ignored, and this is an s
        "<|endoftext|>",
        "<end_of_text>" * 100,
    ]
    check_same_tokens(open_clips, texts)


ALPHABETS = {
    "ASCII": [chr(i) for i in range(128)],
    "Latin": [chr(i) for i in range(0x80, 0x250)],
    "combining marks": [chr(i) for i in range(0x300, 0x370)] + list("aeioun "),
    "Greek": [chr(i) for i in range(0x370, 0x400)] + [" ", "\u03a3"],
    "Arabic": [chr(i) for i in range(0x600, 0x700)] + [" "],
    "Hindi": [chr(i) for i in range(0x900, 0x980)] + [" "],
    "CJK": [chr(i) for i in range(0x3040, 0x30FF)] + [chr(i) for i in range(0x4E00, 0x4F00)],
    "full width": [chr(i) for i in range(0xFF01, 0xFFE7)],
    "emoji": [chr(i) for i in range(0x1F300, 0x1F650)] + ["\u200d", "\ufe0f"],
    "punctuation": [chr(i) for i in range(0x2000, 0x2070)] + list("\ufeff\0\u017f\u212a"),
    "entities": [
        "&amp;",
        "&lt;",
        "&#39;",
        "&eacute;",
        "&#0;",
        "&#x1F600;",
        "&nbsp",
        "&shy;",
        "&fflig;",
        "&",
        "<",
        "a",
    ],
    "specials": ["<start_of_text>", "<end_of_text>", "<", ">", "!", "a", " "],
    "quotes": list("'\u2019\u2018\u201c\u00ab") + ["s ", "t ", "re ", "ll ", "d "],
}


def make_random_texts(n):
    generator = random.Random(0)
    texts = []
    for _ in range(n):
        names = generator.sample(sorted(ALPHABETS), generator.choice([1, 1, 2, 3]))
        length = generator.choice([1, 3, 10, 30, 100])
        letters = [ALPHABETS[generator.choice(names)] for _ in range(length)]
        text = "".join(map(generator.choice, letters))
        if generator.random() < 0.2:  # decoded wrongly
            text = text.encode().decode("latin-1")
        texts.append(text)
    return texts


def test_random_texts_have_clips_own_tokens(open_clips):
    pytest.importorskip("ftfy")
    check_same_tokens(open_clips, make_random_texts(2000))


def test_letters_that_unicode_has_had_for_long_are_letters_in_both(open_clips):
    known = unicodedata.ucd_3_2_0  # Unicode of 2002
    letters = [chr(i) for i in range(0x20, 0x3000, 7)] + ["\u0345"]
    letters = [letter for letter in letters if known.category(letter) != "Cn"]
    assert len(letters) > 900
    check_same_tokens(open_clips, [f"a{letter}a {letter}{letter}!{letter}" for letter in letters])


def test_a_new_letter_may_be_split_otherwise_and_nothing_is_lost(open_clips):
    """U+0558 is a letter only since 2025. Older libraries take it for punctuation."""
    text = "a\u0558!"
    ours = clip_tokenizer().decode(clip_tokenizer().encode(text))
    theirs = open_clips.decode(open_clips.encode(text))
    assert ours.replace(" ", "") == theirs.replace(" ", "") == text


def test_plain_ascii_needs_no_repair():
    """`clean_text` leaves such texts out of what ftfy and html would do."""
    ftfy = pytest.importorskip("ftfy")
    plain = [chr(i) for i in range(32, 127) if chr(i) != "&"]
    generator = random.Random(0)
    for length in (1, 5, 50) * 300:
        text = "".join(generator.choices(plain, k=length))
        assert ftfy.fix_text(text) == text


def test_without_ftfy_only_accents_and_entities_are_repaired(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert fix_text("cafe\u0301") == "caf\u00e9"
    assert clean_text("  Cats &amp; DOGS\n") == "cats & dogs"
    assert clean_text("the dog\u2019s caf\u00c3\u00a9") == "the dog\u2019s caf\u00e3\u00a9"
    tokens = clip_tokenizer()(["the dog\u2019s ball", "the dog's ball"])
    assert tokens[0].tolist() != tokens[1].tolist()


def test_a_saved_clip_tokenizer_still_repairs_a_text(tmp_path):
    clip_tokenizer().save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    texts = [*REPAIRED, "a<end_of_text>b", "e&#x301;"]
    assert loaded(texts).tolist() == clip_tokenizer()(texts).tolist()


def test_other_programs_read_a_saved_clip_tokenizer(tmp_path):
    """The library alone lower-cases a text, and joins accents with their letters."""
    clip_tokenizer().save(tmp_path / "tokenizer.json")
    library = BytePairEncoder.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("Two  DOGS\nplay", "Cafe\u0301"):
        expected = clip_tokenizer().encode(text)
        assert library.encode(text, add_special_tokens=False).ids == expected


def test_pieces_are_the_words_inside_which_merges_happen():
    assert clip_tokenizer().split("It\u2019s 12 Dogs!") == ["it", "'s", "1", "2", "dogs", "!"]
    assert train_tokenizer(TEXTS, 400).split("It\u2019s") == ["it", "\u2019", "s"]


def test_an_exclamation_mark_is_not_padding():
    """In CLIP's vocabulary id 0 is a "!" that ends no word. A mask `tokens != 0` would hide it."""
    tokens = clip_tokenizer()(["wow !% a dog", "a b c d e f g"])
    assert tokens[0, 2] == 0
    assert padding_mask(tokens)[0].tolist() == [True] * 7 + [False] * 2


# ---- one of our own --------------------------------------------------------------------------


def test_training_a_tokenizer_twice_gives_the_same_ids():
    """The library numbers word-ending characters at random. A resumed run needs the same ids."""
    first = train_tokenizer(TEXTS * 3, vocab_size=400)
    second = train_tokenizer(TEXTS * 3, vocab_size=400)
    assert first.bpe.get_vocab() == second.bpe.get_vocab()


def test_a_learned_vocabulary_stays_as_it_is():
    """Recorded runs rest on its ids. CLIP's repairs must not reach it."""
    texts = [*TEXTS, *REPAIRED, "a<start_of_text>b", "\u0130 \u03a3"]
    tokenizer = train_tokenizer(texts * 3, vocab_size=400)
    ids = [tokenizer.encode(text) for text in texts]
    digest = hashlib.sha256(repr(ids).encode()).hexdigest()
    assert digest == "2e421b5046633090c999df387b42384f112d68be5ece3d9533c283e13383f071"


@pytest.fixture(scope="module")
def dog_tokenizer():
    """A tokenizer of two captions."""
    return train_tokenizer(["two dogs play", "a dog plays"], vocab_size=60)


def test_a_loaded_tokenizer_gives_the_same_ids_as_the_saved_one(dog_tokenizer, tmp_path):
    dog_tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    texts = ["two dogs", "play"]
    assert loaded(texts).tolist() == dog_tokenizer(texts).tolist()


def test_characters_of_an_unseen_script_are_dropped(dog_tokenizer):
    assert dog_tokenizer.encode("狗") == []
    assert dog_tokenizer(["狗"]).tolist() == dog_tokenizer([""]).tolist()


def test_a_vocabulary_is_no_larger_than_asked_for(dog_tokenizer):
    assert dog_tokenizer.vocab_size <= 60


def test_a_vocabulary_without_room_for_the_characters_is_refused():
    with pytest.raises(ValueError, match="a vocabulary of 5 ids is too small.* alone are"):
        train_tokenizer(["a dog", "a cat"], 5)


@pytest.mark.parametrize("bad", [None, 3, b"dog", ["dog"]])
def test_what_is_no_string_is_refused_in_words(dog_tokenizer, bad):
    with pytest.raises(TypeError, match="a text is a string, not"):
        dog_tokenizer.encode(bad)
    with pytest.raises(TypeError, match="a text is a string, not"):
        dog_tokenizer(["dog", bad])
    with pytest.raises(TypeError, match="a caption is a string, not"):
        train_tokenizer(["dog", bad], 60)


def test_half_a_character_is_replaced(dog_tokenizer):
    """A browser may send the halves of an emoji one by one. No vocabulary can read them."""
    assert dog_tokenizer.encode("a \ud83d dog") == dog_tokenizer.encode("a \ufffd dog")
    halves = clip_tokenizer()(["a \ud83d\ude00 dog", "\udc80"])
    assert halves.tolist() == clip_tokenizer()(["a \U0001f600 dog", "\ufffd"]).tolist()
    assert train_tokenizer(["a \ud83d dog"], 60).encode("dog")


DAMAGED = {
    "empty": b"",
    "another object": b"{}",
    "a list": b"[]",
    "nested": b"[" * 100_000,
    "no UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_holds_no_tokenizer_is_named(case, tmp_path):
    path = tmp_path / "words.json"
    path.write_bytes(DAMAGED[case])
    with pytest.raises(ValueError, match=r"words\.json holds no tokenizer .*; write it anew"):
        load_tokenizer(path)


def test_a_tokenizer_of_another_kind_is_named_and_not_replaced(dog_tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    BytePairEncoder(WordPiece({"[UNK]": 0, "dog": 1})).save(str(path))  # as BERT has one
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"tokenizer\.json holds no tokenizer .*has no <start_of"):
        load_tokenizer(path)
    with pytest.raises(FileExistsError, match="is no tokenizer of clipnb; choose another name"):
        dog_tokenizer.save(path)
    assert path.read_bytes() == content


def test_a_missing_tokenizer_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"words\.json"):
        load_tokenizer(tmp_path / "words.json")


def test_a_tokenizer_replaces_a_tokenizer_and_nothing_else(dog_tokenizer, tmp_path):
    path = tmp_path / "words.json"
    for _ in range(2):
        dog_tokenizer.save(path)
    assert load_tokenizer(path).bpe.to_str() == dog_tokenizer.bpe.to_str()
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is no tokenizer of clipnb; choose another name"):
        dog_tokenizer.save(path)
    assert path.read_text() == "mine"
    with pytest.raises(FileExistsError, match="is a folder"):
        dog_tokenizer.save(tmp_path)


@pytest.mark.parametrize("bad", ["a dog", None, 3, True])
def test_what_is_no_list_of_captions_is_refused(dog_tokenizer, bad):
    for take in (train_tokenizer, dog_tokenizer, dog_tokenizer.encode_rows):
        with pytest.raises(TypeError, match="a list of strings is wanted, such as .*, not"):
            take(bad)


def test_an_endless_word_is_learned_in_parts():
    """The trainer's time grows with the square of a word's length: 1 MB would take minutes."""
    text = "x" * LONGEST_WORD
    learned = train_tokenizer([f"{text}yz", "a dog"], 60)
    assert learned.bpe.to_str() == train_tokenizer([f"{text} yz", "a dog"], 60).bpe.to_str()
    assert learned(["x" * 100_000]).shape == (1, 77), "it is read whole, and cut as any text"


def test_words_of_a_usual_length_are_learned_whole():
    text = "x" * LONGEST_WORD
    assert split_long_words(f"{text} y") == f"{text} y"
    assert split_long_words(f"{text}yz w") == f"{text} yz w"
    assert split_long_words(2 * text) == f"{text} {text}"
