"""Errors of the world that are told as a line, without a traceback."""

from configs import exit_code_of


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "run").touch()
    assert exit_code_of((tmp_path / "run").mkdir) == 1
    assert exit_code_of((tmp_path / "run" / "train").mkdir) == 1
    exists, no_folder = capsys.readouterr().err.splitlines()
    assert exists.startswith(f"corgi: File exists: {tmp_path}/run; mend that")
    assert no_folder.startswith(f"corgi: Not a directory: {tmp_path}/run/train; mend that")
