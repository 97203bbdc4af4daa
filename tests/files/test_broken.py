"""The one place where what a broken file raises becomes a sentence."""

import json
import tokenize

import pytest

from fsfm_mm.files.broken import LONGEST, broken, check_kinds, parse_json, reading
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.text import brief, shortened


@pytest.mark.parametrize('path', ['x.npy', 'a/' * 400 + 'x.npy', 'x\n\x1b[31m.npy', 'x\udcff.npy'])
@pytest.mark.parametrize(
    'told', [': is broken.', ': is ' + 'very ' * 200 + 'broken: copy it again.', ': a\nb\x1b.']
)
def test_a_sentence_is_one_printable_line_of_bounded_length(path, told):
    sentence = str(broken(path, told))
    assert (
        len(sentence) <= LONGEST
        and sentence.isprintable()
        and sentence.endswith(told[-2:].replace('\x1b', r'\x1b'))
    )
    assert 'npy' in sentence


class OutOfBounds(BaseException):
    """Not of a file: Ctrl-C is one of these."""


@pytest.mark.parametrize(
    'raised',
    [
        tokenize.TokenError('EOF in multi-line statement', (2, 0)),
        MemoryError(),
        RecursionError('maximum recursion depth exceeded'),
        OverflowError('too large'),
        UnicodeDecodeError('utf-8', b'ab\xff', 2, 3, 'invalid start byte'),
        OSError(5, 'Input/output error'),
        KeyError('x' * 5000),
        ValueError('one\ntwo'),
    ],
)
def test_whatever_a_parser_raises_becomes_one(raised):
    with pytest.raises(BrokenSampleError, match=r'^x\.npy: cannot be read \(.+\)\.$') as caught:  # noqa: SIM117
        with reading('x.npy', ': cannot be read', error=BrokenSampleError):
            raise raised
    assert (
        caught.value.__cause__ is raised
        and len(str(caught.value)) <= LONGEST
        and str(caught.value).isprintable()
    )


def test_what_follows_the_name_stands_apart():
    assert str(broken('x', ' is  cut\nshort.')) == 'x is cut short.'


def test_what_does_not_come_from_the_file_goes_through():
    with pytest.raises(OutOfBounds), reading('x', ': cannot be read'):
        raise OutOfBounds


@pytest.mark.parametrize('data', [b'', b'{', b'\xff', b'[' * 200_000, b'{"a":' * 100_000, b'1' * 5000, 'x'])
def test_what_is_no_json_is_named(data):
    with pytest.raises(ValueError, match=r'^x\.json: cannot be read as JSON \(.+\); delete it\.$'):
        parse_json(data, 'x.json', then='; delete it.')


def test_json_of_another_kind_is_named():
    assert parse_json(b'{"a": 1}', 'x') == {'a': 1} and parse_json('[1]', 'x', list) == [1]
    assert parse_json('null', 'x', None) is None
    with pytest.raises(ValueError, match=r'x: expected a JSON object, found \[1, 1, 1, 1, \.\.\.\]\.'):
        parse_json(json.dumps([1] * 10_000), 'x')
    check_kinds({'a': 1, 'b': 'x', 'c': None}, {'a': float, 'b': str, 'c': str, 'd': int}, 'x')
    for value, kind in ((True, int), ('1', int), (1, str), ([], dict), (1, bool)):
        with pytest.raises(ValueError, match=r'x: "a" must be a .*, but is '):
            check_kinds({'a': value}, {'a': kind}, 'x')


def test_values_are_brief_whatever_they_are():
    endless = []
    endless.append(endless)
    laughs = ['x']
    for _ in range(200):
        laughs = [laughs] * 10
    values = [
        endless,
        laughs,
        {'a': laughs},
        10**5000,
        'x' * 10**6,
        b'x' * 10**6,
        object(),
        {1: {2: {3: {4: 5}}}},
    ]
    assert all(len(brief(value)) <= 80 for value in values)
    assert [brief(value) for value in ('a', 1, 0.5, None, True, (1,))] == [
        "'a'",
        '1',
        '0.5',
        'None',
        'True',
        '(1,)',
    ]
    assert (
        shortened('abc', 3) == 'abc' and len(shortened('abcdef' * 9, 20)) == 20 and shortened('abc', 0) == ''
    )
