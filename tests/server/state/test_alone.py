import pytest

from server.state.alone import Occupied, alone


def test_a_second_centre_on_the_same_folder_is_refused_until_the_first_is_gone(tmp_path):
    with alone(tmp_path), pytest.raises(Occupied, match="another centre runs on"), alone(tmp_path):
        pytest.fail("two centres at once")
    with alone(tmp_path):
        pass
