import os

import pytest

from perception.errors import InputError
from perception.sinks import check_output


def test_a_new_file_in_a_writable_folder_is_accepted(tmp_path):
    assert check_output(tmp_path / "out.mp4") == tmp_path / "out.mp4"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"its folder .*missing does not exist; make it first"):
        check_output(tmp_path / "missing" / "out.mp4")


def test_a_folder_is_no_output_file(tmp_path):
    with pytest.raises(InputError, match="the output is a folder; give a file name in it"):
        check_output(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="is not writable"):
            check_output(tmp_path / "out.mp4")
    finally:
        tmp_path.chmod(0o700)


def test_an_input_is_no_output_by_whatever_name(tmp_path):
    source = tmp_path / "drive.mp4"
    source.write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(source)
    for name in ("drive.mp4", "link.mp4", f"../{tmp_path.name}/drive.mp4"):
        with pytest.raises(InputError, match="the same file as the input"):
            check_output(tmp_path / name, inputs=(source,))
    assert check_output(tmp_path / "other.mp4", inputs=(source, tmp_path / "gone.mp4"))
