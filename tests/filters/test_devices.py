"""A device that is found out: what would run on a GPU cannot run here, so it is looked at which one is asked for."""

import onnxruntime
import pytest
import torch

from configs import UserError
from filters import model_file
from filters.devices import resolved
from filters.nsfw import Nsfw, NsfwConfig

from .test_pictures import batch


@pytest.mark.parametrize(("is_there", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, is_there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    assert resolved("auto", key="score.clip.device") == device
    assert resolved("cpu", key="score.clip.device") == "cpu"


def test_a_gpu_that_is_asked_for_and_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"score\.clip\.device is cuda, and torch finds no GPU here"):
        resolved("cuda", key="score.clip.device")


def test_auto_is_the_cpu_where_onnxruntime_has_nothing_else_and_the_scores_are_the_same(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if model_file.ON_GPU in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime can use a GPU")
    auto, cpu = (Nsfw(NsfwConfig(device=device)) for device in ("auto", "cpu"))
    assert auto._session.get_providers() == ["CPUExecutionProvider"]
    assert auto(batch(2)) == cpu(batch(2))


def test_a_provider_that_is_there_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [model_file.ON_GPU, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda model, options, providers: asked.append(providers))
    model_file.session("a model", device="auto")
    assert asked == [[model_file.ON_GPU]]


def test_where_it_ran_makes_no_score_stale():
    assert len({Nsfw(NsfwConfig(device=device)).fingerprint for device in ("auto", "cpu", "cuda")}) == 1
