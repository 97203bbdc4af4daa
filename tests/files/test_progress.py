"""How far long work is: rate and time left as soon as they are known, nothing where nothing is to be shown."""

import sys

import pytest

from fsfm_mm.files import progress
from fsfm_mm.files.progress import ProgressBar


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, 'time', clock)
    return clock


def after(clock, seconds):
    clock.now += seconds


def test_lines_of_a_log_file_come_soon_and_then_seldom(clock, capsys):
    with ProgressBar(1000, 'pictures', name='my set') as bar:
        for _ in range(100):
            after(clock, 2)
            bar.add(10, '3 failures')
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == ['30', '80', '180', '380', '680', '980']
    assert lines[1] == 'my set: 80 of 1000 pictures, 5 a second, 03:04 left, 3 failures'


def test_the_start_of_the_workers_is_no_part_of_the_rate(clock):
    bar = ProgressBar(1000, 'pictures', shown=False)
    after(clock, 60)
    assert bar.line() == '0 of 1000 pictures'
    bar.add(100)
    after(clock, 10)
    bar.add(100)
    assert bar.line() == '200 of 1000 pictures, 10 a second, 01:20 left'


def test_what_an_earlier_run_did_is_no_part_of_the_rate(clock):
    bar = ProgressBar(1000, 'pictures', done=500)
    after(clock, 4)
    assert bar.rate() is None
    bar.show(510)
    assert bar.rate() == 10 / 4
    after(clock, 1)
    bar.show(520)
    assert bar.rate() == 10
    bar.show(505)  # a process died, and its work with it
    assert bar.rate() == 1


def test_nothing_is_shown_of_short_or_quiet_work(clock, capsys):
    for shown, seconds in ((True, 1), (False, 100)):
        with ProgressBar(2, 'pictures', shown=shown) as bar:
            for _ in range(2):
                after(clock, seconds)
                bar.add(1)
    assert capsys.readouterr() == ('', '')


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    with ProgressBar(4, 'pictures', done=2, name='my set') as bar:
        bar.add(2, 'no failures')
    said = capsys.readouterr().err
    assert 'my set' in said and '4/4' in said and 'pictures' in said
