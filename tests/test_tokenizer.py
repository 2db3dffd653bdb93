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


def test_clip_tokens_equal_open_clips():
    import open_clip

    reference, ours = open_clip.get_tokenizer("ViT-B-32")(TEXTS), clip_tokenizer()(TEXTS)
    assert clip_tokenizer().vocab_size == 49_408
    assert (
        reference[:, : ours.shape[1]].tolist() == ours.tolist()
        and not reference[:, ours.shape[1] :].any()
    )


def test_training_a_tokenizer_twice_gives_the_same_ids():
    """The library numbers word-ending characters at random; a resumed run must not meet another vocabulary."""
    once, again = (train_tokenizer(TEXTS * 3, vocab_size=400) for _ in range(2))
    assert once.bpe.get_vocab() == again.bpe.get_vocab()


@pytest.fixture(scope="module", params=["clip", "captions"])
def tokenizer(request):
    return (
        clip_tokenizer() if request.param == "clip" else train_tokenizer(TEXTS * 3, vocab_size=400)
    )


def test_padded_with_zero_to_the_longest(tokenizer):
    tokens = tokenizer(["a dog", "a black dog is running"])
    assert tokens.dtype == torch.int64 and (tokens[0] == 0).any() and not (tokens[1] == 0).any()
    assert tokens[:, 0].tolist() == [tokenizer.sos] * 2 and tokens[1, -1] == tokenizer.eos


def test_long_texts_are_cut_and_still_end(tokenizer):
    tokens = tokenizer(["dog " * 200])
    assert tokens.shape == (1, tokenizer.context_length) and tokens[0, -1] == tokenizer.eos


def test_decode_turns_back(tokenizer):
    text = "a black dog is running after a white dog"
    assert tokenizer.decode(tokenizer.encode(text.upper())) == text
    assert tokenizer.decode(tokenizer([text, text + " in the snow"])[0]) == text


def test_an_exclamation_mark_is_not_padding():
    """Id 0 is a "!" that ends no word in CLIP's vocabulary: a mask made by `tokens != 0` would hide it."""
    tokens = clip_tokenizer()(["wow !% a dog", "a b c d e f g"])
    assert tokens[0, 2] == 0
    assert padding_mask(tokens)[0].tolist() == [True] * 7 + [False] * 2


def test_one_string_is_refused(tokenizer):
    with pytest.raises(TypeError, match="list of strings"):
        tokenizer("a dog")


def test_a_trained_tokenizer_survives_saving_and_drops_unseen_scripts(tmp_path):
    tokenizer = train_tokenizer(["two dogs play", "a dog plays"], vocab_size=60)
    tokenizer.save(tmp_path / "tokenizer.json")
    assert (
        load_tokenizer(tmp_path / "tokenizer.json")(["two dogs", "play"]).tolist()
        == tokenizer(["two dogs", "play"]).tolist()
    )
    assert tokenizer.encode("狗") == [] and tokenizer(["狗"]).tolist() == tokenizer([""]).tolist()
    assert tokenizer.vocab_size <= 60


def test_a_vocabulary_without_room_for_the_characters_is_refused():
    with pytest.raises(ValueError, match="a vocabulary of 5 ids is too small.* alone are"):
        train_tokenizer(["a dog", "a cat"], 5)
