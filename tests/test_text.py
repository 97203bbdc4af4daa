"""Tables of text: widths, sides, rule, and Markdown."""

import pytest

from fsfm_mm.text import few, markdown_table, text_table

ROWS = [['set', 'AUC', 'n'], ['a longer name', '0.5', '12'], ['b', '0.25', '']]


def test_columns_are_as_wide_as_their_cells():
    assert text_table(ROWS) == [
        'set             AUC   n',
        'a longer name   0.5  12',
        'b              0.25',
    ]


def test_rule_gap_and_sides():
    assert text_table(ROWS, '<<>', ' | ', rule=True) == [
        'set           | AUC  |  n',
        '------------- | ---- | --',
        'a longer name | 0.5  | 12',
        'b             | 0.25 |',
    ]


def test_least_widths():
    assert text_table([['a', 'b', 'c'], ['1', '2', '1234567']], '<>', ' ', (3, 5)) == [
        'a       b       c',
        '1       2 1234567',
    ]


def test_one_row_and_none():
    assert text_table([['a', 'bc']], rule=True) == ['a  bc', '-  --']
    assert text_table([]) == markdown_table([]) == []
    assert text_table([['{x:>9}', '']]) == ['{x:>9}']  # cells are no formats


def test_markdown():
    assert markdown_table(ROWS) == [
        '| set | AUC | n |',
        '|---|---:|---:|',
        '| a longer name | 0.5 | 12 |',
        '| b | 0.25 |  |',
    ]
    assert markdown_table([['a', 'b']], '<') == ['| a | b |', '|---|---|']


@pytest.mark.parametrize('table', [text_table, markdown_table])
def test_wrong_tables(table):
    with pytest.raises(ValueError, match=r'of one length, found \[1, 2\]'):
        table([['a'], ['b', 'c']])
    for align in ('', 'lr'):
        with pytest.raises(ValueError, match='align must be signs'):
            table(ROWS, align)


def test_the_first_of_many():
    names = [f'f{i}' for i in range(7)]
    assert few(names) == 'f0, f1, f2, f3, f4 and 2 more'
    assert few(names[:5]) == 'f0, f1, f2, f3, f4' and few([]) == ''
    assert few(names, 2, ', ...') == 'f0, f1, ...'
    assert few(names[:1], 3, '; and {} more', '; ', 4) == 'f0; and 3 more'
    assert few(['{}', '{0}'], 1) == '{} and 1 more'  # names are no formats
