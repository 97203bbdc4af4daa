"""Importing the package is silent, hides nothing else, and refuses a mix of OpenMMLab families."""

import io
import subprocess
import sys
import warnings
from importlib import metadata

import pytest

from fsfm_mm import _startup
from fsfm_mm._startup import FAMILIES, _DropLine, check_single_family, quiet_imports

LINE = 'Could not import OneDL'


def test_import_prints_and_warns_nothing():
    command = [sys.executable, '-W', 'default', '-c', 'import fsfm_mm; assert fsfm_mm.__version__']
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


@pytest.mark.parametrize(
    'writes, expected',
    [
        ([LINE, '\n'], ''),  # as print() writes it
        ([LINE + '\n'], ''),
        (['before\n', LINE, '\n', 'after', '\n'], 'before\nafter\n'),
        ([LINE, '\n', '\n', 'after'], '\nafter'),  # one newline belongs to the line, the next does not
        ([LINE, '\n', LINE, '\n', '.'], '.'),
        ([LINE + ' and more', '\n'], LINE + ' and more\n'),
        (['Could not import OneDLX\n'], 'Could not import OneDLX\n'),
        (['could not import onedl', '\n'], 'could not import onedl\n'),
        (['a ', 'line ', 'in ', 'pieces', '\n'], 'a line in pieces\n'),
        (['', '\n', ' ', '\n'], '\n \n'),
    ],
)
def test_only_the_exact_line_is_dropped(writes, expected):
    out = io.StringIO()
    filtered = _DropLine(out, LINE)
    for text in writes:
        assert filtered.write(text) == len(text)
    assert out.getvalue() == expected


def test_the_filter_is_otherwise_the_stream():
    out = io.StringIO()
    filtered = _DropLine(out, LINE)
    print(LINE, file=filtered)
    print('shown', 1, file=filtered, flush=True)
    assert filtered.getvalue() == 'shown 1\n'
    assert filtered.isatty() is False and filtered.writable()


def test_prints_and_warnings_of_others_come_through(capsys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        with quiet_imports():
            print(LINE)
            print('something else')
            warnings.warn('Importing from timm.models.layers is deprecated', FutureWarning, stacklevel=1)
            warnings.warn('Importing from timm.models.layers is deprecated', UserWarning, stacklevel=1)
            warnings.warn('Fail to import ``Another``', UserWarning, stacklevel=1)
    assert capsys.readouterr().out == 'something else\n'
    shown = [(str(w.message), w.category) for w in caught]
    assert shown == [
        ('Importing from timm.models.layers is deprecated', UserWarning),
        ('Fail to import ``Another``', UserWarning),
    ]


def test_stdout_is_given_back_after_an_error():
    before = sys.stdout
    with pytest.raises(RuntimeError, match='in the middle'), quiet_imports():
        assert sys.stdout is not before
        raise RuntimeError('in the middle')
    assert sys.stdout is before


@pytest.fixture
def installed(monkeypatch):
    def pretend(*names):
        def distribution(name):
            if name not in names:
                raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(_startup.metadata, 'distribution', distribution)

    return pretend


@pytest.mark.parametrize('upstream, fork', FAMILIES)
def test_both_families_of_one_package_are_refused(installed, upstream, fork):
    forks = list(dict.fromkeys(other for _, other in FAMILIES))
    installed(upstream, *forks)
    with pytest.raises(ImportError) as error:
        check_single_family()
    message = str(error.value)
    assert f"'{upstream}' and '{fork}' are both installed" in message
    assert f'pip uninstall -y {upstream} {" ".join(forks)}`' in message
    assert f'pip install {" ".join(forks)}`' in message
    assert '\n' not in message and message.endswith('.') and '. ' not in message


@pytest.mark.parametrize(
    'names', [(), ('mmengine', 'mmcv', 'mmpretrain'), ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')]
)
def test_one_family_passes(installed, names):
    installed(*names)
    check_single_family()


@pytest.mark.parametrize(
    ('writes', 'expected'),
    [
        (['error: ', 'Could not import OneDL', '\n'], 'error: Could not import OneDL\n'),
        (['Could not import OneDL', ' after', '\n'], 'Could not import OneDL after\n'),
        (['Could not import OneDL\n', '\n', 'x'], '\nx'),
    ],
)
def test_parts_of_other_lines_are_kept(writes, expected):
    out = io.StringIO()
    stream = _DropLine(out, 'Could not import OneDL')
    for text in writes:
        stream.write(text)
    assert out.getvalue() == expected
