"""Only committed, whole checkpoints are read; what is broken names its file and is passed over."""

import json
import logging

import pytest
import torch

from cascade.text_encoder import TextConfig
from cascade.weights import load_stage
from configs import UserError

from .checkpoints import commit, digest, save
from .nets import BASE, SR, awake, inputs


def weights(net):
    return dict(net.named_parameters())


def equal(net, other):
    return all(torch.equal(weights(net)[name], tensor) for name, tensor in weights(other).items())


def test_a_stage_comes_back_from_the_shares_of_all_ranks(tmp_path):
    raw, averaged = awake(SR, seed=1), awake(SR, seed=2)
    save(tmp_path, 300, SR, {"params": raw, "ema_ema": averaged}, text=TextConfig(max_tokens=20), ranks=3)
    loaded = load_stage(tmp_path)
    assert (loaded.config, loaded.text, loaded.step) == (SR, TextConfig(max_tokens=20), 300)
    assert equal(loaded.net, averaged) and equal(load_stage(tmp_path, track="params").net, raw)
    assert not any(parameter.requires_grad for parameter in loaded.net.parameters())
    assert torch.equal(loaded.net(**inputs(SR, 2)), averaged(**inputs(SR, 2)))


def test_the_newest_committed_one_is_taken_and_a_folder_can_be_named(tmp_path):
    nets = [awake(BASE, seed=seed) for seed in range(3)]
    folders = [save(tmp_path, 100 * (seed + 1), BASE, {"ema_ema": net}) for seed, net in enumerate(nets)]
    (folders[2] / "COMMIT.json").unlink()
    assert load_stage(tmp_path).step == 200 and equal(load_stage(tmp_path / "checkpoints").net, nets[1])
    assert load_stage(folders[0]).step == 100
    with pytest.raises(UserError, match="no committed checkpoint"):
        load_stage(folders[2])


@pytest.mark.parametrize("file", ["rank_1/ema_ema.safetensors", "rank_0/manifest.json", "stage.json", "COMMIT.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_falls_back_to_the_one_before_and_names_the_file(tmp_path, caplog, file, damage):
    older, newer = awake(BASE, seed=1), awake(BASE, seed=2)
    first = save(tmp_path, 100, BASE, {"ema_ema": older})
    path = save(tmp_path, 200, BASE, {"ema_ema": newer}) / file
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 255
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    if damage == "remove":
        path.unlink()
    with caplog.at_level(logging.WARNING):
        loaded = load_stage(tmp_path)
    assert loaded.folder == first and equal(loaded.net, older)
    if (file, damage) != ("COMMIT.json", "remove"):  # without COMMIT it is no checkpoint at all
        assert str(path) in caplog.text


def test_when_none_is_whole_the_error_says_so(tmp_path):
    folder = save(tmp_path, 100, BASE, {"ema_ema": awake(BASE)})
    (folder / "rank_0" / "ema_ema.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"is whole: .*ema_ema\.safetensors has other bytes"):
        load_stage(tmp_path)
    with pytest.raises(UserError, match="corgi train"):
        load_stage(tmp_path / "nothing")


def test_an_unknown_track_lists_the_known_ones(tmp_path):
    save(tmp_path, 100, BASE, {"params": awake(BASE), "ema_slow": awake(BASE)})
    with pytest.raises(UserError, match="no track 'ema'; it has params, slow"):
        load_stage(tmp_path)


def test_weights_of_another_net_are_refused(tmp_path):
    folder = save(tmp_path, 100, BASE, {"ema_ema": awake(SR)})
    with pytest.raises(UserError, match="does not fit its net"):
        load_stage(tmp_path)
    about = json.loads((folder / "stage.json").read_text())
    about["stage"]["image_pixels"] = 16
    (folder / "stage.json").write_text(json.dumps(about))
    commit(folder, 100)
    assert digest(folder / "stage.json")["size"]
    with pytest.raises(UserError, match=r"stage\.json.*image_pixels.*did you mean 'image_px'"):
        load_stage(tmp_path)
