"""The benchmark of the published models: every part runs, small. No test asserts a time."""

import json

import open_clip.model
import pytest
import torch

from clipnb import bench_report, records
from clipnb.bench import pretrained
from clipnb.model import CLIP
from clipnb.preprocess import Preprocess
from clipnb.pretrained.names import rename_to_ours
from clipnb.runtime import ROOT
from clipnb.towers.published import parse_architecture

SIZES = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 64,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 500, "width": 32, "heads": 2, "layers": 1},
}
RECORDS = sorted((ROOT / "results" / "bench").glob("pretrained-*.json"))


@pytest.fixture
def tiny(monkeypatch):
    """Tiny models in place of the published ones, and no exports, which take seconds."""

    def make_pair(name):
        torch.manual_seed(0)
        theirs = open_clip.model.CLIP(
            SIZES["embed_dim"], SIZES["vision_cfg"], SIZES["text_cfg"], output_dict=True
        )
        architecture = parse_architecture(name, SIZES)
        ours = CLIP(architecture.create_image_encoder(), architecture.create_text_encoder(), 32)
        ours.preprocess = Preprocess(32)
        ours.load_state_dict(rename_to_ours(theirs.state_dict(), architecture))
        return pretrained.Pair(ours, theirs)

    monkeypatch.setattr(pretrained, "make_pair", make_pair)
    monkeypatch.setattr(pretrained, "has_libraries", lambda *names: False)


def check_comparison(result, rounds=2):
    assert result["rounds"] == rounds
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]


def test_ways_to_encode_are_compared_with_open_clip(tiny, monkeypatch):
    monkeypatch.setattr(pretrained, "may_use_bf16", lambda device: True)
    monkeypatch.setenv("CLIPNB_PRECISION", "auto")
    monkeypatch.setattr("clipnb.runtime.has_bf16", lambda device: True)
    result = pretrained.compare_encoding("tiny", rounds={1: 2, 3: 2})
    assert list(result) == ["images per second", "texts per second"]
    for unit, by_size in result.items():
        assert list(by_size) == ["batch 1", "batch 3"]
        for ways in by_size.values():
            cut = ["ours, texts cut to the longest"] if unit == "texts per second" else []
            assert list(ways) == ["ours", *cut, "ours, bfloat16"]
            for way, finding in ways.items():
                check_comparison(finding)
                assert finding["unit"] == unit
                assert finding["cosine"] > (0.999 if way == "ours, bfloat16" else 1 - 1e-6)
            assert ways["ours, bfloat16"]["cosine"] < 1 - 1e-7


def test_every_way_of_the_libraries_is_close_to_ours(tiny, monkeypatch, tmp_path):
    for library in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(library)
    monkeypatch.setattr(pretrained, "has_libraries", lambda *names: True)
    monkeypatch.setattr(pretrained, "may_use_bf16", lambda device: True)
    pair = pretrained.make_pair("tiny")
    pair.ours.eval()
    ways = pretrained.list_ways(pair.ours, tmp_path)
    assert list(ways)[3:] == [
        "ONNX Runtime",
        "ONNX Runtime, int8 weights",
        "OpenVINO, float32",
        "OpenVINO, bfloat16",
    ]
    for way in list(ways)[3:]:
        encoder = ways[way]()
        for method, inputs in pretrained.make_inputs(pair.ours, 3).items():
            with torch.no_grad():
                expected = getattr(pair.theirs, method)(inputs)
            cosine = pretrained.find_lowest_cosine(encoder[method](inputs), expected)
            assert cosine > (1 - 1e-6 if way in ("ONNX Runtime", "OpenVINO, float32") else 0.999)


def test_forward_and_step_are_compared_with_open_clip(tiny):
    forward = pretrained.compare_forward("tiny", batch_size=3, rounds=2)
    assert list(forward) == ["encode_image", "encode_text"]
    steps = pretrained.compare_steps("tiny", batch_size=3, rounds=2)
    assert list(steps) == ["same tokens", "own lengths"]
    for result in [*forward.values(), *steps.values()]:
        check_comparison(result)


def test_both_sides_get_the_same_inputs(tiny):
    pair = pretrained.make_pair("tiny")
    inputs = pretrained.make_inputs(pair.ours, 4)
    assert inputs["encode_image"].shape == (4, 3, 32, 32)
    assert inputs["encode_text"].shape == (4, 77)
    assert not inputs["encode_text"][:, pretrained.LENGTH :].any()
    assert (inputs["encode_text"].argmax(dim=1) == pretrained.LENGTH - 1).all()


def test_a_published_model_is_made_twice_with_the_same_weights(monkeypatch):
    monkeypatch.setattr(pretrained, "read_architecture", lambda name: parse_architecture("", SIZES))
    made = {}

    def create_tiny(name, **options):
        made["theirs"] = open_clip.model.CLIP(32, SIZES["vision_cfg"], SIZES["text_cfg"], **options)
        return made["theirs"]

    def create_ours(recipe):
        assert recipe.image_encoder == recipe.text_encoder == "clip/ViT-B-32"
        architecture = parse_architecture("", SIZES)
        return CLIP(architecture.create_image_encoder(), architecture.create_text_encoder(), 32)

    monkeypatch.setattr(open_clip, "create_model", create_tiny)
    monkeypatch.setattr(pretrained, "create_model", create_ours)
    pair = pretrained.make_pair("ViT-B-32")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        ours, theirs = pair.ours.eval().encode_image(images), made["theirs"].encode_image(images)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


# ---- the record ------------------------------------------------------------------------------


def test_the_benchmark_is_recorded_and_printed(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(records, "cpu_name", lambda: "Some CPU")
    speed = {"ratio": 1.25, "lowest": 1.1, "highest": 1.5, "rounds": 3, "ours": 250.4, "theirs": 9}
    encoding = {"images per second": {"batch 8": {"ours": speed | {"cosine": 0.99999}}}}
    monkeypatch.setattr(pretrained, "compare_encoding", lambda name: encoding)
    monkeypatch.setattr(pretrained, "compare_forward", lambda name: {"encode_image": speed})
    monkeypatch.setattr(pretrained, "compare_steps", lambda name: {"same tokens": speed})
    path = pretrained.run_pretrained_benchmark()
    assert path.endswith("bench/pretrained-some-cpu.json")
    record = json.loads((tmp_path / "bench" / "pretrained-some-cpu.json").read_text())
    assert list(record)[-3:] == ["encoding", "forward", "training step"]
    assert list(record["training step"]) == ["ViT-B-32", "RN50"]
    printed = capsys.readouterr().out.strip()
    assert printed == bench_report.pretrained_bench_table()
    numbers = "1.25 | 1.10 to 1.50 | 250 | 9.0"
    assert f"| images per second, batch 8, ours | {numbers} | 0.99999 |" in printed
    assert f"| training step, RN50, same tokens | {numbers} |" in printed
    assert bench_report.bench_table() == "", "it is no record of training"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_our_modules_are_as_fast_as_open_clips(path):
    """In the committed records, within a tenth, with the same features."""
    record = records.read_json(path)
    for part in ("forward", "training step"):
        for title, finding in bench_report.iterate_findings(record[part]):
            assert finding["ratio"] >= 1 / 1.1, title
    for title, finding in bench_report.iterate_findings(record["encoding"]):
        assert finding["cosine"] >= (0.999 if "int8" in title else 0.9998), title
