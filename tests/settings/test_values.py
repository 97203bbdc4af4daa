"""``KEY=VALUE``: every form that mmengine documents, and what its reader loses."""

import argparse

import pytest
from mmengine.config import DictAction

from fsfm_mm.settings.values import SettingsAction, parse_setting, parse_value

#: What mmengine's documentation shows, and what it reads right.
DOCUMENTED = (
    '1,2,3',
    '[a, b, c]',
    '[(1, 2, 3), [a, b], c]',
    '[(V1,V2),(V3,V4)]',
    'V1,V2,V3',
    '(0.8, 1.2)',
    '[]',
    '()',
    '(1,)',
    'a,',
    "'a','b'",
    'large',
    '3',
    '-2',
    '1e-3',
    '.5',
    'inf',
    'True',
    'false',
    'None',
    'none',
    '',
    'mmpretrain.ResNet',
    'data/faces/x.json',
    'http://host:1/y?a=b',
)
#: What it loses or cannot read.
OTHERS = {
    'my photos': 'my photos',
    '  my photos ': 'my photos',
    '[my photos, old ones]': ['my photos', 'old ones'],
    '(my photos, (a b, 1))': ('my photos', ('a b', 1)),
    'a = b': 'a = b',
    "it's": "it's",
    "it's, that's": ["it's", "that's"],
    "'a, b'": 'a, b',
    '"a, b", c': ['a, b', 'c'],
    '"5"': '5',
    "'None'": 'None',
    '"[old] photos, new"': '[old] photos, new',
    '[old] photos': '[old] photos',
    'photos (1)': 'photos (1)',
    '(1) photos (2)': '(1) photos (2)',
    'Fotos für Änne/写真': 'Fotos für Änne/写真',
    'C:\\new photos\\raw': 'C:\\new photos\\raw',
    "'C:\\new, old'": 'C:\\new, old',
    '2020_01': '2020_01',  # Python's int would take it for 202001
    'f(a,b)': 'f(a,b)',
    '{size: 224, mean: [1, 2]}': {'size': 224, 'mean': [1, 2]},
    "{'size': 224}": {'size': 224},
    '{path: "C:a, b"}': {'path': 'C:a, b'},
    '{}': {},
    'dict()': {},
    'dict(type=LocalVisBackend, x=dict(y=(1, 2)))': {'type': 'LocalVisBackend', 'x': {'y': (1, 2)}},
    "[dict(type='A'), dict(type=B, name=my photos)]": [{'type': 'A'}, {'type': 'B', 'name': 'my photos'}],
}


@pytest.mark.parametrize('text', DOCUMENTED)
def test_documented_forms_mean_what_they_mean_to_mmengine(text):
    value, expected = parse_value(text), DictAction._parse_iterable(text)
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(('text', 'value'), OTHERS.items())
def test_values_are_what_was_typed(text, value):
    found = parse_value(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize('text', ['[1,2', '(a,b', 'a,b]', '[(1,2],3)', '{a}', 'dict(a)'])
def test_what_cannot_be_read_is_one_sentence(text):
    with pytest.raises(ValueError, match=r'^KEY: (the brackets in|expected)'):
        parse_value(text)


def test_names_and_values():
    assert parse_setting('a.b=c=d') == ('a.b', 'c=d')
    assert parse_setting('a =3') == ('a', 3)
    for wrong in ('a', '=3', 'a..b=3', '.a=1'):
        with pytest.raises(ValueError, match='expected KEY=VALUE'):
            parse_setting(wrong)


def test_action_collects(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--set', nargs='+', action=SettingsAction)
    args = parser.parse_args(['--set', 'a=1', 'b=my photos', '--set', 'a=2'])
    assert args.set == {'a': 2, 'b': 'my photos'}
    with pytest.raises(SystemExit):
        parser.parse_args(['--set', 'a=[1,2'])
    assert 'a: the brackets in' in capsys.readouterr().err
