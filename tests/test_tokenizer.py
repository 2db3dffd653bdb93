"""Our two tokenizers: CLIP's against open_clip's own code, and what both promise."""

import pytest
import torch

from clipnb import clip_tokenizer, padding_mask, train_tokenizer
from clipnb.tokenizer import load_tokenizer

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


def test_clips_tokens_equal_open_clips():
    import open_clip

    theirs = open_clip.get_tokenizer("ViT-B-32")(TEXTS)
    ours = clip_tokenizer()(TEXTS)
    length = ours.shape[1]
    assert clip_tokenizer().vocab_size == 49_408
    assert ours.tolist() == theirs[:, :length].tolist()
    assert not theirs[:, length:].any(), "open_clip pads to 77 tokens"


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
    with pytest.raises(TypeError, match="a text is a string, not"):
        train_tokenizer(["dog", bad], 60)


def test_half_a_character_is_replaced(dog_tokenizer):
    """A browser may send the halves of an emoji one by one. No vocabulary can read them."""
    assert dog_tokenizer.encode("a \ud83d dog") == dog_tokenizer.encode("a \ufffd dog")
    halves = clip_tokenizer()(["a \ud83d\ude00 dog", "\udc80"])
    assert halves.tolist() == clip_tokenizer()(["a \U0001f600 dog", "\ufffd"]).tolist()
    assert train_tokenizer(["a \ud83d dog"], 60).encode("dog")
