"""Worker processes: the same files from any number of them; a death or a hang costs one source."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from engine_fakes import (
    MARKS,
    PARSER_MARKS,
    execution,
    settings,
    tree,
    video_item,
    write_pictures,
    write_video,
)
from files.deadly import Killer
from test_engine import by_source

from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.packing import pack
from fsfm_mm.preparation.run import prepare

HERE = Path(__file__).resolve().parent


def test_any_number_of_workers_gives_the_same_tree(tmp_path):
    items = write_pictures(tmp_path / 'photos', 14)
    trees = []
    for workers in (0, 1, 3):
        out = tmp_path / f'out{workers}'
        prepare(items, out, settings(), execution(workers))
        trees.append(tree(out))
    assert trees[0] == trees[1] == trees[2]
    assert len(trees[0]) == 2 + 2 * 14 + 3


@pytest.mark.parametrize('workers', [1, 2])
def test_a_process_that_dies_costs_one_source(tmp_path, workers, capsys):
    marks = dict(exits=MARKS['exit'], segfault=MARKS['segv'], parser=PARSER_MARKS['exit'])
    items = write_pictures(tmp_path / 'photos', 6, **marks)
    outcome = prepare(items, tmp_path / 'out', settings(), execution(workers))
    found = by_source(tmp_path / 'out')
    assert outcome.tally.statuses == {'ok': 6, 'crashed': 3} and outcome.complete
    path = tmp_path / 'photos' / 'exits.png'
    assert found['exits.png'].message == f'{path}: the process that worked on it died (exit code 7), 2 times'
    assert 'died (SIGSEGV), 2 times' in found['segfault.png'].message
    assert 'died (exit code 9), 2 times' in found['parser.png'].message
    assert f'{path}: the process died (exit code 7); trying again' in capsys.readouterr().err
    # the rest is as if the three were not there
    others = [item for item in items if item.key not in marks]
    prepare(others, tmp_path / 'others', settings(), execution(0))
    for folder in ('images', 'parsing_maps', 'mean_std.json'):
        assert select(tree(tmp_path / 'out'), folder) == select(tree(tmp_path / 'others'), folder)


def select(files, folder):
    return {name: digest for name, digest in files.items() if name.startswith(folder)}


def test_a_process_that_is_killed_costs_nothing(tmp_path):
    """By the machine, say, for lack of memory: its chunk is worked on again."""
    items = write_pictures(tmp_path / 'photos', 14)
    prepare(items, tmp_path / 'whole', settings(seconds=0.01), execution(0))
    forms = dict(type='archive', image_format='png')
    pack(tmp_path / 'whole', tmp_path / 'packed', forms, chunk_size=3)
    killers = [Killer(), Killer()]
    killers[0].start()
    prepare(items, tmp_path / 'out', settings(seconds=0.01), execution(2))
    killers[1].start()
    pack(tmp_path / 'whole', tmp_path / 'packed2', forms, chunk_size=3, workers=2)
    assert all(killer.killed for killer in killers)
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')
    assert tree(tmp_path / 'packed2') == tree(tmp_path / 'packed')


def test_a_process_that_hangs_costs_one_source(tmp_path):
    items = write_pictures(tmp_path / 'photos', 3, hangs=MARKS['hang'])
    outcome = prepare(items, tmp_path / 'out', settings(), execution(2, timeout=3.0))
    assert outcome.tally.statuses == {'ok': 3, 'crashed': 1}
    message = by_source(tmp_path / 'out')['hangs.png'].message
    assert 'gave no sign of life for 3 seconds, 2 times' in message


def test_a_long_video_gives_signs_of_life(tmp_path):
    """All in all longer than the timeout, but never silent for so long."""
    from engine_fakes import picture

    from fsfm_mm.preparation.sources.items import FrameChoice

    write_video(tmp_path / 'v.mp4', [picture(seed, 64) for seed in range(48)])
    items = [video_item(tmp_path / 'v.mp4', FrameChoice('all'))]
    outcome = prepare(items, tmp_path / 'out', settings(seconds=0.08), execution(1, timeout=3.0))
    assert outcome.tally.statuses == {'ok': 48}


def test_workers_that_cannot_start_stop_the_run(tmp_path):
    """The parent builds the detector, too, so only a worker's own failure gets so far."""
    items = write_pictures(tmp_path / 'photos', 3)
    detector = dict(type='FailsInWorkers')
    with pytest.raises(StoppedError, match=r'a worker process failed \(RuntimeError: not in a worker\)'):
        prepare(items, tmp_path / 'out', settings(detector=detector), execution(1))
    with pytest.raises(StoppedError, match=r'worker processes do not start: one died \(exit code 3\)'):
        prepare(items, tmp_path / 'out2', settings(detector={**detector, 'exits': True}), execution(1))


COMMAND = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from engine_fakes import execution, items_of, settings
from fsfm_mm.preparation.packing import pack
from fsfm_mm.preparation.run import prepare
if __name__ == '__main__':
    prepare(items_of(Path(sys.argv[1])), sys.argv[2], settings(seconds=0.2), execution(2))
"""


def start(tmp_path, out):
    script = tmp_path / 'script.py'
    script.write_text(COMMAND.format(here=str(HERE)))
    command = [sys.executable, str(script), str(tmp_path / 'photos'), str(out)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def processes_with(text):
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / 'environ').read_bytes() + (folder / 'cmdline').read_bytes()
            except OSError:
                continue
            if text.encode() in command:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc').is_dir(), reason='needs /proc')
def test_workers_end_when_the_parent_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv('FSFM_TEST_MARK', str(tmp_path))
    write_pictures(tmp_path / 'photos', 40)
    process = start(tmp_path, tmp_path / 'out')
    deadline = time.monotonic() + 120
    while not list((tmp_path / 'out').glob('.prepare/chunks/*.jsonl')) and time.monotonic() < deadline:
        time.sleep(0.05)
    family = [pid for pid in processes_with(str(tmp_path)) if pid != os.getpid()]
    assert len(family) >= 4  # the command, the fork server, two workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while any(Path(f'/proc/{pid}').exists() for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in family if Path(f'/proc/{pid}').exists()]


def test_threads_of_this_process_are_as_before(tmp_path):
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads(), threading.active_count()
    prepare(write_pictures(tmp_path / 'photos', 2), tmp_path / 'out', settings(), execution(0))
    assert (cv2.getNumThreads(), torch.get_num_threads(), threading.active_count()) == before
