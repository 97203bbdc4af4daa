import numpy as np
import pytest

from fsfm_mm.preparation.sources.items import FrameChoice


def test_count_spreads_from_the_first_to_the_last():
    assert FrameChoice('count', 8).indices(32).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert FrameChoice('count', 1).indices(32).tolist() == [0]
    assert FrameChoice('count', 32).indices(5).tolist() == [0, 1, 2, 3, 4]
    assert FrameChoice('count', 8).indices(0).size == 0


def test_count_is_the_linspace_of_the_protocols():
    for count in range(1, 40):
        for frames in range(1, 400, 7):
            exact = [i * (frames - 1) // max(count - 1, 1) for i in range(count)]
            linspace = np.linspace(0, frames - 1, count)
            # numpy's own rounding errors aside
            np.testing.assert_array_equal(np.floor(linspace + 1e-9), exact)
            assert FrameChoice('count', count).indices(frames).tolist() == sorted(set(exact))


def test_the_other_ways():
    assert FrameChoice('middle', 2).indices(100).tolist() == [25, 75]
    assert FrameChoice('middle', 2).indices(1).tolist() == [0]
    assert FrameChoice('parts', 2, first=6, search=True).indices(101).tolist() == [6, 56]
    assert FrameChoice('parts', 10).indices(109).tolist() == list(range(0, 100, 10))
    short = FrameChoice('parts', 2, first=6)
    assert (short.starts(5), short.indices(5).tolist(), short.starts(0)) == ([4, 4], [4], [])
    assert FrameChoice('stride', 10).indices(31).tolist() == [0, 10, 20, 30]
    assert FrameChoice('all').indices(3).tolist() == [0, 1, 2]


def test_what_belongs_to_parts():
    with pytest.raises(ValueError, match="belong to the frames 'parts', found them with 'middle'"):
        FrameChoice('middle', 2, first=6)
    with pytest.raises(ValueError, match='belong'):
        FrameChoice('count', 2, search=True)


@pytest.mark.parametrize('mode, value, message', [('some', 3, "'some'"), ('count', 0, '1 or more, found 0')])
def test_wrong_choices(mode, value, message):
    with pytest.raises(ValueError, match=message):
        FrameChoice(mode, value)
