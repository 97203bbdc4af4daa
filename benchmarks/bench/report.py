"""A benchmark's result as text for people."""

from __future__ import annotations

from typing import Any

from bench.results import verdict
from fsfm_mm.text import text_table

TITLES = {
    'masks': 'Mask generation, one thread',
    'loader': 'Loader',
    'step': 'Training step, and its parts',
    'choices': 'Choices',
}


def text_report(result: dict[str, Any]) -> str:
    """The result of one run, see ``benchmark.py``."""
    machine, options = result['machine'], result['options']
    lines = [
        f'{result["config"]} on {machine["device"]}, {options["dtype"]}, batch {options["batch_size"]}, '
        f'torch {machine["torch"]}, {machine["torch_threads"]} threads, {machine["cores"]} cores',
        *result['notes'],
    ]
    for section, title in TITLES.items():
        rows = [
            [f'  {row["name"]}', f'{row["images_per_s"]:,.5g}', f'{row["ms"]:,.4g}', *_ratio(row)]
            for row in result['rows']
            if row['section'] == section
        ]
        lines += _table([title, 'images/s', 'ms/batch', 'ratio', ''], rows)
    facts = [[f'  {name.replace("_", " ")}', f'{value:,.4g}'] for name, value in result['facts'].items()]
    lines += _table(['Facts', ''], facts)
    against = [
        [
            f'  {line["section"]}: {line["name"]}, {line["unit"]}',
            '' if line['plain'] is None else f'{line["plain"]:,.4g}',
            f'{line["ours"]:,.4g}',
            '' if line['ratio'] is None else f'{line["ratio"]:.3g}',
            verdict(line),
        ]
        for line in result['comparisons']
    ]
    table = _table(['Against a plain implementation', 'plain', 'ours', 'ratio', ''], against)
    lines += table[:2]
    for line, text in zip(result['comparisons'], table[2:]):
        lines += [text, f'      {line["note"]}'] if line['note'] else [text]
    scaling = [
        [
            f'  {s["arch"]}, {s["size"]} pixels, batch {s["batch"]}, {s["dtype"]}',
            f'{s["images_per_s"]:,.4g}',
            *(f'{s[key]:,.0f}' for key in ('peak_mb', 'held_mb', 'hours_1m_images_100_epochs')),
        ]
        for s in result['scaling']
    ]
    head = ['Scaling', 'images/s', 'MB at the peak of a step', 'MB held', 'hours for 1M images x 100 epochs']
    return '\n'.join([*lines, *_table(head, scaling)])


def _ratio(row: dict[str, Any]) -> list[str]:
    return ['' if row['ratio'] is None else f'{row["ratio"]:.3g}', row['ratio_of']]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """An empty line and a table; nothing without rows."""
    return ['', *text_table([head, *rows], '<>>><')] if rows else []
