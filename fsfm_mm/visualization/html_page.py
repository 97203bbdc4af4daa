"""One HTML file with tables and pictures in it: no scripts, nothing fetched, readable offline."""

from __future__ import annotations

import base64
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from fsfm_mm.files import write_atomically
from fsfm_mm.text import printable

if TYPE_CHECKING:
    from jinja2 import Template

#: A picture with its caption; None where it cannot be shown.
Figure = tuple[np.ndarray | None, str]


class HtmlPage:
    """A page that is put together from top to bottom. All texts are escaped: ``page.html.jinja`` has its looks.

    Args:
        title: Of the page, shown as its heading.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[dict[str, Any]] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append({'kind': 'heading', 'text': text})

    def text(self, text: str, tone: str = '') -> None:
        """Add a paragraph; ``tone`` is '', 'ok', 'error', 'warning', 'note', 'files' (small) ..."""
        self._parts.append({'kind': 'text', 'text': text, 'tone': tone})

    def item(self, tone: str, text: str, more: str = '') -> None:
        """Add a line that begins with its tone as a word, with a second, smaller line where there is more."""
        self._parts.append({'kind': 'item', 'tone': tone, 'text': text, 'more': more})

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = '') -> None:
        """Add a table; numbers are put to the right."""
        self._parts.append({'kind': 'table', 'header': header, 'rows': rows, 'caption': caption})

    def figures(self, figures: Sequence[Figure], lossless: bool = False) -> None:
        """Add a sheet of captioned pictures.

        Args:
            figures: uint8 (H, W, 3) RGB pictures or None, each with its caption.
            lossless: PNG instead of JPEG, for drawings.
        """
        encoded = [(None if image is None else _encoded(image, lossless), text) for image, text in figures]
        self._parts.append({'kind': 'figures', 'figures': encoded})

    def legend(self, colours: Mapping[str, str]) -> None:
        """Add a line of names with their colours (``#rrggbb``)."""
        self._parts.append({'kind': 'legend', 'colours': colours})

    def bars(self, values: Mapping[str, float], colours: Mapping[str, str], caption: str) -> None:
        """Add horizontal bars for shares in 0..1, as an inline SVG.

        Args:
            values: Name -> share.
            colours: Name -> ``#rrggbb``; grey where there is none.
            caption: What is shown.
        """
        bars = [
            (name, value, 400 * min(max(value, 0.0), 1.0), colours.get(name, '#808080'))
            for name, value in values.items()
        ]
        self._parts.append({'kind': 'bars', 'bars': bars, 'caption': caption})

    def html(self) -> str:
        """The whole page."""
        return _template().render(title=self.title, parts=self._parts)

    def write(self, path: str | os.PathLike) -> Path:
        """Write the page, whole or not at all; its folder is made where missing."""
        return write_atomically(Path(path), self.html())


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # autoescape for every file: by default it looks at the ending
    environment = Environment(
        loader=PackageLoader('fsfm_mm.visualization', 'templates'),
        autoescape=True,
        # what a macro made is markup already
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template('page.html.jinja')


def _encoded(image: np.ndarray, lossless: bool) -> dict[str, Any]:
    """A picture as a data URI, with its size in pixels."""
    suffix, kind, options = (
        ('.png', 'png', []) if lossless else ('.jpg', 'jpeg', [cv2.IMWRITE_JPEG_QUALITY, 85])
    )
    _, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options)
    text = base64.b64encode(data.tobytes()).decode('ascii')
    height, width = image.shape[:2]
    return {'source': f'data:image/{kind};base64,{text}', 'width': width, 'height': height}
