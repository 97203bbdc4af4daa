"""Killed at any moment and started again, or shared among several: the same bytes as one whole run."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from engine_fakes import execution, settings, tree, write_pictures
from test_engine import FullAfter
from test_workers import start

from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation import run as finishing
from fsfm_mm.preparation.run import Share, prepare


def whole(tmp_path, items):
    prepare(items, tmp_path / 'whole', settings(), execution())
    return tree(tmp_path / 'whole')


def test_shares_together_equal_one_run(tmp_path):
    items = write_pictures(tmp_path / 'photos', 14)
    outcomes = [
        prepare(items, tmp_path / 'out', settings(), execution(), share=Share(index, 3))
        for index in (2, 0, 1)
    ]
    assert [outcome.complete for outcome in outcomes] == [False, False, True]
    assert [outcome.tally.statuses['ok'] for outcome in outcomes] == [4, 4 + 2, 14]
    assert tree(tmp_path / 'out') == whole(tmp_path, items)
    again = prepare(items, tmp_path / 'out', settings(), execution(), share=Share(0, 3))
    assert again.repeated and again.tally.statuses['ok'] == 14


def test_leftovers_of_killed_processes_disappear(tmp_path):
    items = write_pictures(tmp_path / 'photos', 6)
    out = tmp_path / 'out'
    prepare(items, out, settings(), execution(), share=Share(0, 2))
    (out / 'images' / '.04.png.12345.part').write_bytes(b'half')
    (out / '.manifest.jsonl.77.part').write_bytes(b'half')
    (out / '.prepare' / 'chunks' / '.000001.jsonl.5.part').write_bytes(b'half')
    prepare(items, out, settings(), execution())
    assert tree(out) == whole(tmp_path, items)


def test_killed_between_summary_and_tidying_up(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos', 6)
    monkeypatch.setattr(finishing.shutil, 'rmtree', lambda *_, **__: None)
    prepare(items, tmp_path / 'out', settings(), execution())
    assert (tmp_path / 'out' / '.prepare' / 'plan.json').is_file()
    monkeypatch.undo()
    assert prepare(items, tmp_path / 'out', settings(), execution()).repeated
    assert tree(tmp_path / 'out') == whole(tmp_path, items)


def test_a_disk_that_fills_up_while_joining(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos', 6)

    def full(*_, **__):
        raise OSError(28, 'No space left on device', str(tmp_path / 'out' / 'mean_std.json'))

    monkeypatch.setattr(finishing, 'write_atomically', full)
    with pytest.raises(StoppedError, match=r'mean_std.json cannot be written: No space left'):
        prepare(items, tmp_path / 'out', settings(), execution())
    monkeypatch.undo()
    prepare(items, tmp_path / 'out', settings(), execution())
    assert tree(tmp_path / 'out') == whole(tmp_path, items)


def test_stopped_in_every_chunk(tmp_path):
    """The disk fills up again and again; each start gets one chunk further."""
    items = write_pictures(tmp_path / 'photos', 14)
    for _ in range(3):
        with pytest.MonkeyPatch.context() as monkeypatch:
            FullAfter(monkeypatch, 5)
            with pytest.raises(StoppedError):
                prepare(items, tmp_path / 'out', settings(), execution())
    prepare(items, tmp_path / 'out', settings(), execution())
    assert tree(tmp_path / 'out') == whole(tmp_path, items)


@pytest.mark.slow
def test_killed_at_random_points_ten_times(tmp_path):
    """Kill -9 at ten random moments: all processes, or the parent alone, whose workers then end themselves.

    Seven of the ten hit the work, three the imports before it. However busy the machine is: each kill waits for
    what it is to hit, and a kill in the work costs it at most a few of the 38 chunks.
    """
    items = write_pictures(tmp_path / 'photos', 150)
    expected_folder = tmp_path / 'expected'
    prepare(items, expected_folder, settings(seconds=0.2), execution(2))
    rng = random.Random(1)

    def chunks():
        return len(list((tmp_path / 'out').glob('.prepare/chunks/*.jsonl')))

    for kills in range(10):
        begun = chunks()
        process = start(tmp_path, tmp_path / 'out')
        deadline = time.monotonic() + 600
        while kills % 3 != 2 and chunks() == begun and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5 if kills % 3 != 2 else 1))
        assert process.poll() is None
        (os.killpg if kills % 2 else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    assert 7 <= chunks() < 38
    assert start(tmp_path, tmp_path / 'out').wait(600) == 0
    assert tree(tmp_path / 'out') == tree(expected_folder)


@pytest.mark.slow
def test_killed_while_joining(tmp_path):
    """Kill -9 at every step of the end: between any two files of it."""
    items = write_pictures(tmp_path / 'photos', 6)
    expected = whole(tmp_path, items)
    script = tmp_path / 'script.py'
    script.write_text(
        'import os, sys\n'
        f'sys.path.insert(0, {os.path.dirname(__file__)!r})\n'
        'from pathlib import Path\n'
        'from engine_fakes import execution, items_of, settings\n'
        'from fsfm_mm.preparation.run import prepare\n'
        'steps = int(sys.argv[1])\n'
        'real = os.replace\n'
        'def replace(*args):\n'
        '    global steps\n'
        '    if steps == 0: os.kill(os.getpid(), 9)\n'
        '    steps -= 1\n'
        '    return real(*args)\n'
        'os.replace = replace\n'
        f'prepare(items_of(Path({str(tmp_path / "photos")!r})), sys.argv[2], settings(), execution())\n'
    )
    out = tmp_path / 'out'
    for steps in (0, 1, 2, 13, 1, 1, 0, 1, 1):  # plan, files, chunks, manifest, statistics, summary
        done = subprocess.run([sys.executable, str(script), str(steps), str(out)], check=False)
        assert done.returncode == -signal.SIGKILL
    prepare(items, out, settings(), execution())
    assert tree(out) == expected
