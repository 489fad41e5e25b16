"""Errors of the index say what to do."""

import pytest

from configs import UserError
from tests.factory import WIDTH, make_run
from tests.training.small_training import config_of
from training.data.index import check_text, read_index


def test_an_index_that_is_not_there_or_has_no_such_column_names_the_remedy(tmp_path):
    index = make_run(tmp_path)
    with pytest.raises(UserError, match=r'run "corgi index .*" first'):
        read_index(config_of(tmp_path, tmp_path / "nowhere.parquet").data)
    with pytest.raises(UserError, match=r"'larg' is not in .*; did you mean 'large'"):
        read_index(config_of(tmp_path, index, data={"index": str(index), "column": "larg"}).data)
    with pytest.raises(UserError, match=r"'held_out' is not in"):  # never by mistake
        read_index(config_of(tmp_path, index, data={"index": str(index), "column": "held_out"}).data)


def test_text_embeds_of_another_encoder_cut_or_width_are_refused(tmp_path):
    index = make_run(tmp_path)
    config = config_of(tmp_path, index, text={"encoder": {"encoder": "google/t5-v1_1-small"}})
    with pytest.raises(UserError, match=r"text.encoder is 'google-t5-v1_1-small', but .* text embeds of 'minilm'"):
        check_text(read_index(config.data), config.text, text_width=WIDTH)
    config = config_of(tmp_path, index, text={"encoder": {"max_tokens": 16}})
    with pytest.raises(UserError, match=r"max_tokens is 16, but was 64 when the text embeds of .* were made"):
        check_text(read_index(config.data), config.text, text_width=WIDTH)
    with pytest.raises(UserError, match=r"stage.text_width is 9, but text embeds of 'minilm' are 8 wide"):
        check_text(read_index(config.data), config_of(tmp_path, index).text, text_width=9)
    live = config_of(tmp_path, index, text={"mode": "live", "encoder": {"max_tokens": 16}})
    check_text(read_index(live.data), live.text, text_width=9)
