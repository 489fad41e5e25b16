"""A model that cannot be fetched is one line."""

import os
import subprocess
import sys

FETCH = """
from configs import UserError
from storage.hub import fetch_config, fetch_model
for fetch in (lambda: fetch_config("owner/model", "main", what="text encoder"),
              lambda: fetch_model("owner/model", "main", what="score.clip.model")):
    try:
        fetch()
    except UserError as error:
        print(error)
"""


def test_a_model_that_is_not_at_hand_is_one_line_each(tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FETCH], env=environment, capture_output=True, text=True, check=True)
    encoder, clip = done.stdout.splitlines()
    assert encoder.startswith("text encoder 'owner/model' cannot be fetched: ") and "offline mode" in encoder
    assert clip.startswith("score.clip.model 'owner/model' cannot be fetched: ") and clip.endswith("safetensors files")
    assert done.stderr == ""
