"""One HTML file with tables and pictures in it: no scripts, nothing fetched, readable offline."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.files import write_atomically

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --line: #d0d0d5; --soft: #f3f3f6; --dim: #5f5f66;
  --error: #b3261e; --warning: #8a5a00; --note: #1f5fa8; --ok: #1b7a3d; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --paper: #17171a; --line: #3c3c42; --soft: #232327;
  --dim: #a0a0a8; --error: #ff8a80; --warning: #ffc766; --note: #8ab8ff; --ok: #7ddc9a; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0 1.4rem; } caption { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .7rem; text-align: left; overflow-wrap: anywhere; }
th { background: var(--soft); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } .sheet { display: flex; flex-wrap: wrap; gap: .7rem; }
figure { margin: 0; padding: .35rem; background: var(--soft); border-radius: .3rem; max-width: 100%; }
figure img { display: block; max-width: 100%; } figcaption { font-size: .75rem; color: var(--dim);
  overflow-wrap: anywhere; max-width: 24rem; contain: inline-size; }
.none { display: grid; place-items: center; width: 9rem; height: 5rem; border: 1px dashed var(--line);
  color: var(--dim); font-size: .8rem; }
.legend span { display: inline-block; margin-right: 1rem; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .35em;
  border: 1px solid var(--line); vertical-align: -.1em; }
.error, .warning, .note, .ok { font-weight: 600; } .error { color: var(--error); } .warning { color: var(--warning); }
.note { color: var(--note); } .ok { color: var(--ok); } .files { color: var(--dim); font-size: .85rem; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
"""

#: A picture with its caption; None where it cannot be shown.
Figure = tuple[np.ndarray | None, str]


class HtmlPage:
    """A page that is put together from top to bottom. All texts are escaped.

    Args:
        title: Of the page, shown as its heading.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f'<h2>{_escape(text)}</h2>')

    def text(self, text: str, tone: str = '') -> None:
        """Add a paragraph; ``tone`` is '', 'ok', 'error', 'warning', 'note', 'files' (small) ..."""
        self._parts.append(f'<p class="{_escape(tone)}">{_escape(text)}</p>')

    def item(self, tone: str, text: str, more: str = '') -> None:
        """Add a line that begins with its tone as a word, with a second, smaller line where there is more."""
        files = f'<br><span class="files">{_escape(more)}</span>' if more else ''
        self._parts.append(
            f'<p><span class="{_escape(tone)}">{_escape(tone)}</span> {_escape(text)}{files}</p>'
        )

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = '') -> None:
        """Add a table; numbers are put to the right."""
        head = ''.join(f'<th scope="col">{_escape(cell)}</th>' for cell in header)
        body = ''.join(f'<tr>{"".join(map(_cell, row))}</tr>' for row in rows)
        title = f'<caption>{_escape(caption)}</caption>' if caption else ''
        self._parts.append(
            f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def figures(self, figures: Sequence[Figure], lossless: bool = False) -> None:
        """Add a sheet of captioned pictures.

        Args:
            figures: uint8 (H, W, 3) RGB pictures or None, each with its caption.
            lossless: PNG instead of JPEG, for drawings.
        """
        shown = ''.join(_figure(image, caption, lossless) for image, caption in figures)
        self._parts.append(f'<div class="sheet">{shown}</div>')

    def legend(self, colours: Mapping[str, str]) -> None:
        """Add a line of names with their colours (``#rrggbb``)."""
        spans = ''.join(
            f'<span><i style="background:{_escape(colour)}"></i>{_escape(name)}</span>'
            for name, colour in colours.items()
        )
        self._parts.append(f'<p class="legend">{spans}</p>')

    def bars(self, values: Mapping[str, float], colours: Mapping[str, str], caption: str) -> None:
        """Add horizontal bars for shares in 0..1, as an inline SVG.

        Args:
            values: Name -> share.
            colours: Name -> ``#rrggbb``; grey where there is none.
            caption: What is shown.
        """
        rows = [
            _bar(20 * i, name, value, colours.get(name, '#808080'))
            for i, (name, value) in enumerate(values.items())
        ]
        height = 20 * len(rows)
        self._parts.append(
            f'<figure><svg role="img" aria-label="{_escape(caption)}" width="640" height="{height}" '
            f'viewBox="0 0 640 {height}">{"".join(rows)}</svg><figcaption>{_escape(caption)}</figcaption></figure>'
        )

    def html(self) -> str:
        """The whole page."""
        title = _escape(self.title)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n'
            + '\n'.join(self._parts)
            + '\n</body></html>\n'
        )

    def write(self, path: str | os.PathLike) -> Path:
        """Write the page, whole or not at all; its folder is made where missing."""
        return write_atomically(Path(path), self.html())


def _escape(text: object) -> str:
    # names of files may hold bytes that are no UTF-8, which Python carries as lone surrogates
    return html.escape(str(text).encode('utf-8', 'replace').decode('utf-8'))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.2f}</td>'
    return f'<td class="number">{value}</td>' if isinstance(value, int) else f'<td>{_escape(value)}</td>'


def _figure(image: np.ndarray | None, caption: str, lossless: bool) -> str:
    shown = '<div class="none">no picture</div>' if image is None else _img(image, caption, lossless)
    return f'<figure>{shown}<figcaption>{_escape(caption)}</figcaption></figure>'


def _img(image: np.ndarray, caption: str, lossless: bool) -> str:
    suffix, kind, options = (
        ('.png', 'png', []) if lossless else ('.jpg', 'jpeg', [cv2.IMWRITE_JPEG_QUALITY, 85])
    )
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options)
    text = base64.b64encode(data.tobytes()).decode('ascii')
    height, width = image.shape[:2]
    return f'<img src="data:image/{kind};base64,{text}" width="{width}" height="{height}" alt="{_escape(caption)}">'


def _bar(top: int, name: str, value: float, colour: str) -> str:
    width = 400 * min(max(value, 0.0), 1.0)
    return (
        f'<text x="0" y="{top + 14}">{_escape(name)}</text>'
        f'<rect x="130" y="{top + 3}" width="{width:.1f}" height="13" fill="{_escape(colour)}" stroke="#808080"/>'
        f'<text x="{136 + width:.1f}" y="{top + 14}">{100 * value:.1f} %</text>'
    )
