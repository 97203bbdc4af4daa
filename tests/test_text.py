"""Tables of text: widths, sides, rule, and Markdown."""

import pytest

from fsfm_mm.text import markdown_table, text_table

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
