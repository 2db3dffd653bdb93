"""What is left out of a reader's own folder, and how such a dataset is named and cached."""

import dataclasses

import pytest
from own_folder import draw, read, write

from clipnb import load_dataset
from clipnb.recipes import RECIPES
from clipnb.run_folders import run_folder
from clipnb.runtime import cache_dir


def test_everything_left_out_is_counted_and_named_in_one_warning(tmp_path, monkeypatch, no_heic):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    draw(folder, *[f"{i}.jpg" for i in range(12)], *[f"new_{i}.jpg" for i in range(5)])
    (folder / "0.jpg").write_bytes(b"no image")
    (folder / "c.heic").write_bytes(b"")
    rows = "".join(f"{i}.jpg,number {i} of twelve\n" for i in range(12))
    write(folder, "captions.csv", f"image,caption\n{rows}gone.jpg,a dog\n")
    write(folder, "splits/train.txt", "".join(f"{i}.jpg\n" for i in range(12)))
    with pytest.warns(UserWarning) as caught:
        dataset = load_dataset("mine", "train", 8, root=tmp_path)
    assert len(dataset) == 11
    (message,) = {str(warning.message) for warning in caught}
    assert message.startswith(
        "mine leaves out 5 images without a caption (new_0.jpg, new_1.jpg, new_2.jpg, …); "
        "1 captioned name without an image file (gone.jpg); 1 image in an unreadable format "
        "(c.heic: for HEIC run `pip install pillow-heif`); 1 unreadable image "
        "file (0.jpg: it holds no image)."
    )
    assert "\n" not in message


def test_captions_of_other_images_are_refused_with_examples(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.csv", "image,caption\na.jpg,a dog\nx.jpg,a cat\ny.jpg,a tree\n")
    with pytest.raises(ValueError, match=r"captions for 2 names \(of 3\).*'x.jpg', 'y.jpg'"):
        read(tmp_path)


def test_a_dataset_that_is_complete_gives_no_warning(small, recwarn):
    small("train")
    assert not recwarn.list


def test_an_image_that_gets_another_name_is_decoded_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    draw(folder, "Images/a.jpg", "Images/b.jpg", "Images/c.jpg")
    for name in "abc":
        write(folder, f"Images/{name}.txt", f"the image {name}")
    write(folder, "splits/train.txt", "Images/a.jpg\nImages/b.jpg\n")
    assert load_dataset("mine", "train", 4, root=tmp_path).image_ids == ["a.jpg", "b.jpg"]
    draw(folder, "a.jpg")  # now "a.jpg" is another image
    with pytest.warns(UserWarning, match=r"leaves out 1 image without a caption \(a.jpg\)"):
        dataset = load_dataset("mine", "train", 4, root=tmp_path)
    assert dataset.image_ids == ["Images/a.jpg", "b.jpg"]
    assert dataset.paths[0] == folder / "Images" / "a.jpg"


def test_a_dataset_may_be_named_by_its_path(tmp_path):
    name = str(tmp_path / "holiday")
    recipe = dataclasses.replace(RECIPES["quick"], dataset=name)
    assert run_folder(recipe).parent == cache_dir() / "runs"
    assert run_folder(recipe).name.startswith("holiday-quick-0-")


def test_images_that_are_all_broken_say_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    write(tmp_path, "mine/a.jpg", "no image")
    write(tmp_path, "mine/a.txt", "a dog")
    with pytest.raises(ValueError, match="none of the 1 images .*a.jpg: it holds no image"):
        load_dataset("mine", "train", 8, root=tmp_path)
