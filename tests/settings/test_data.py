"""Settings as plain data: a config's text is read and never run."""

from fsfm_mm.settings.data import settings_of_text


def test_text_is_read_and_not_run():
    """What is no value that is written out is its text."""
    text = "import os\na = dict(b=[1, (2, 3)], c={'d-e': dict()})\nf = open('x')\ng = dict(*[1])\nh = a\ni = -1\n"
    found = settings_of_text(text)
    assert found == dict(a=dict(b=[1, [2, 3]], c={'d-e': {}}), f="open('x')", g='dict(*[1])', h='a', i=-1)
    assert settings_of_text('k = dict(**a)') == {'k': 'dict(**a)'}
    assert settings_of_text('a = (') == settings_of_text('\0') == {}
