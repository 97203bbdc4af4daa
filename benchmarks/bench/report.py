"""A benchmark's result as text for people."""

from __future__ import annotations

from typing import Any

TITLES = {
    'masks': 'Mask generation, one thread',
    'loader': 'Loader',
    'step': 'Training step, and its parts',
    'choices': 'Choices',
}


def text_report(result: dict[str, Any]) -> str:
    """The result as text for people."""
    machine, options = result['machine'], result['options']
    lines = [
        f'{result["config"]} on {machine["device"]}, {options["dtype"]}, batch {options["batch_size"]}, '
        f'torch {machine["torch"]}, {machine["torch_threads"]} threads, {machine["cores"]} cores',
        *result['notes'],
    ]
    for part, title in TITLES.items():
        rows = [row for row in result['rows'] if row['section'] == part]
        if rows:
            lines += ['', f'{title:<58} {"images/s":>10} {"ms/batch":>10}   ratio']
        for row in rows:
            ratio = '' if row['ratio'] is None else f'{row["ratio"]:5.3g} {row["ratio_of"]}'
            lines.append(f'  {row["name"]:<56} {row["images_per_s"]:>10,.5g} {row["ms"]:>10,.4g}   {ratio}')
    if result['facts']:
        lines.append('')
        lines += [
            f'  {name.replace("_", " "):<56} {value:>10,.4g}' for name, value in result['facts'].items()
        ]
    return '\n'.join([*lines, *_comparison_lines(result), *_scaling_lines(result)])


def _comparison_lines(result: dict[str, Any]) -> list[str]:
    """Lines of the comparison with the plain implementation, each with its target."""
    if not result['comparisons']:
        return []
    lines = ['', f'{"Against a plain implementation":<70} {"plain":>9} {"ours":>9}   ratio']
    for row in result['comparisons']:
        plain = '' if row['plain'] is None else f'{row["plain"]:,.4g}'
        ratio = '' if row['ratio'] is None else f'{row["ratio"]:.3g}'
        name = f'{row["section"]}: {row["name"]}, {row["unit"]}'
        lines.append(f'  {name:<68} {plain:>9} {row["ours"]:>9,.4g}   {ratio:<6} {verdict(row)}')
        lines += [f'      {row["note"]}'] if row['note'] else []
    return lines


def verdict(row: dict[str, Any]) -> str:
    """Target of a comparison and whether it is met; empty without a target."""
    if row['target'] is None:
        return ''
    bound = 'at most' if row['at_most'] else 'at least'
    return f'{bound} {row["target"]:g}: {"met" if row["met"] else "NOT MET"}'


def _scaling_lines(result: dict[str, Any]) -> list[str]:
    """Lines of speed and memory by setting."""
    if not result['scaling']:
        return []
    lines = ['', 'Scaling: images/s, MB at the peak of a step, MB held, hours for 1M images x 100 epochs']
    for s in result['scaling']:
        setting = f'{s["arch"]:<6} {s["size"]:>4} pixels, batch {s["batch"]:>4}, {s["dtype"]:<9}'
        speed = f'{s["images_per_s"]:>9,.4g} {s["peak_mb"]:>9,.0f} {s["held_mb"]:>9,.0f}'
        lines.append(f'  {setting} {speed} {s["hours_1m_images_100_epochs"]:>12,.0f}')
    return lines
