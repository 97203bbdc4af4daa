"""The HTML page is one well-formed file: escaped, without links to anything outside, with its pictures in it."""

import base64
import fnmatch
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import setuptools

from fsfm_mm.visualization import HtmlPage

VOID = {'meta', 'br', 'img', 'rect'}


class Balanced(HTMLParser):
    """Collects tags and texts; fails where elements are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def parsed(page):
    parser = Balanced()
    parser.feed(page.html())
    parser.close()
    assert parser.open == []
    return parser


def full_page(image):
    page = HtmlPage('Check of <script>alert(1)</script>')
    page.heading('A & B')
    page.text('all <well>', 'ok')
    page.item('error', 'bad: "x"', 'a<b.png')
    page.table(['name', 'count', 'share'], [['<i>', 3, 0.12345]], 'of & what')
    page.figures([(image, "it's <this>"), (None, 'gone')])
    page.figures([(image, 'exact')], lossless=True)
    page.legend({'skin': '#faC896'})
    page.bars({'skin': 0.25, 'hair': 1.5}, {'skin': '#112233'}, 'shares')
    return page


def test_everything_is_escaped_closed_and_inside_the_file():
    image = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    page = parsed(full_page(image))
    names = [tag for tag, _ in page.tags]
    assert 'script' not in names and 'i' in names and names.count('i') == 1  # the legend's own
    assert not any(
        key in ('src', 'href') and not value.startswith('data:image/')
        for _, a in page.tags
        for key, value in a.items()
    )
    assert 'http' not in full_page(image).html()
    for text in (
        'Check of <script>alert(1)</script>',
        'all <well>',
        'a<b.png',
        '<i>',
        "it's <this>",
        '0.12',
        '3',
    ):
        assert text in page.texts
    assert 'prefers-color-scheme: dark' in full_page(image).html()


def test_pictures_are_the_pictures():
    image = np.zeros((12, 20, 3), np.uint8)
    image[..., 0] = 200  # red
    sources = [a['src'] for tag, a in parsed(full_page(image)).tags if tag == 'img']
    assert [re.match('data:image/(.+);base64', s)[1] for s in sources] == ['jpeg', 'png']
    for source, tolerance in zip(sources, (8, 0)):
        data = np.frombuffer(base64.b64decode(source.split(',')[1]), np.uint8)
        found = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_allclose(found.astype(int), image, atol=tolerance)


def test_bars_are_as_long_as_the_values():
    page = HtmlPage('x')
    page.bars({'a': 0.25, 'b': 1.5, 'c': 0.0}, {}, 'shares')
    widths = [a['width'] for tag, a in parsed(page).tags if tag == 'rect']
    assert widths == ['100.0', '400.0', '0.0']


def test_written_whole_with_its_folder_and_odd_names(tmp_path):
    page = HtmlPage('r\udce9sum\u00e9')
    page.write(tmp_path / 'new' / 'page.html')
    assert r'<h1>r\xe9sum' in (tmp_path / 'new' / 'page.html').read_text(encoding='utf-8')
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['page.html']


def test_what_looks_like_markup_or_a_template_stays_text():
    name = '{{ 7 * 7 }} {% raw %} &amp; <b onclick="x">\'q\'</b>'
    page = HtmlPage(name)
    page.heading(name)
    page.text(name, '" onload="x')
    page.item(name, name, name)
    page.table([name], [[name]], name)
    page.figures([(None, name), (np.zeros((2, 2, 3), np.uint8), name)])
    page.legend({name: '"><script>'})
    page.bars({name: 0.5}, {name: '"><script>'}, name)
    found = parsed(page)
    assert not {'b', 'script'} & {tag for tag, _ in found.tags}
    assert not any({'onclick', 'onload'} & set(attributes) for _, attributes in found.tags)
    assert sum(text.strip() == name for text in found.texts) >= 13
    assert [a['alt'] for tag, a in found.tags if tag == 'img'] == [name]


def test_numbers_of_a_table_have_two_digits_or_none_and_a_class():
    page = HtmlPage('x')
    page.table(['a', 'b', 'c', 'd'], [[3, 2.0, np.float64(1.239), 'text']])
    cells = re.findall('<td.*?</td>', page.html())
    assert cells == [*(f'<td class="number">{n}</td>' for n in ('3', '2.00', '1.24')), '<td>text</td>']


def test_templates_are_installed_with_the_package(monkeypatch):
    root = Path(__file__).resolve().parents[2]
    said = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **arguments: said.update(arguments))
    runpy.run_path(str(root / 'setup.py'))
    templates = list((root / 'fsfm_mm/visualization/templates').iterdir())
    assert len(templates) == 2
    for template in templates:
        name = str(template.relative_to(root / 'fsfm_mm'))
        assert any(fnmatch.fnmatch(name, pattern) for pattern in said['package_data']['fsfm_mm'])
    assert any(line.startswith('jinja2') for line in said['install_requires'])
