"""The one pool: whoever dies or hangs is named, tried again and passed over; everything else is done."""

import multiprocessing
from functools import partial

import cv2
import numpy as np
import pytest
from deadly import Deadly, Killer, Photos, doubles

from fsfm_mm.doctor.scanning import CHUNK, scan
from fsfm_mm.files.parallel import Pool, Watcher
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.statistics import compute_statistics

pytestmark = pytest.mark.usefixtures('fork_server')
TASKS = [[1, 2], [3, 4, 5], [6], [7, 8]]


def work(pool, tasks=TASKS, mode=''):
    results = pool.work(partial(doubles, mode), tasks, lambda task, position: f'file {task[position]}')
    return sorted(results, key=lambda pair: tasks.index(pair[0]))


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_all_tasks_are_done_by_any_number_of_processes(workers):
    assert work(Pool(workers)) == [(task, [2 * value for value in task]) for task in TASKS]
    assert work(Pool(workers), []) == []
    assert not multiprocessing.active_children()


@pytest.mark.parametrize('workers', [1, 2])
def test_an_item_that_kills_is_named_and_passed_over(workers, capsys):
    found = work(Pool(workers), [[1, 2], [3, -1, 4]])
    what = 'died (SIGKILL, perhaps for lack of memory)'
    assert found[1][1] == [6, f'file -1: the process that worked on it {what}, 2 times', 8]
    said = capsys.readouterr().err
    assert f'file -1: the process {what}; trying again' in said and 'left out' in said


def test_an_item_that_hangs_is_named_and_passed_over():
    ((_, found),) = work(Pool(1, timeout=1.0), [[-5, 4]])
    assert found == ['file -5: the process that worked on it gave no sign of life for 1 seconds, 2 times', 8]


@pytest.mark.parametrize(
    'tasks, mode, sentence',
    [
        ([[1, -2]], '', r'^the disk is gone$'),
        ([[1, -6]], '', r'^a worker process failed \(RuntimeError: a mistake\)$'),
        ([[1, -3]], '', r'processes fail while they begin or write: the last one died \(exit code 5\)'),
        ([[1, -4]], '', r'processes fail while they begin or write: the last one died \(SIGKILL'),
        ([[1]], 'no start', r'worker processes do not start: one died \(exit code 3\)'),
    ],
)
def test_what_nobody_can_go_on_from_stops(tasks, mode, sentence):
    with pytest.raises(StoppedError, match=sentence):
        work(Pool(2), tasks, mode)
    assert not multiprocessing.active_children()


def test_the_watcher_hears_how_far_tasks_are_and_when_they_begin_anew():
    heard = []

    class Listener(Watcher):
        def at(self, task, *progress):
            heard.append((task[0], *progress))

        def say(self, sentence):
            heard.append(sentence.rpartition('; ')[2])

    list(Pool(1).work(partial(doubles, ''), [[3, -1]], lambda task, position: 'it', Listener()))
    once = [(3, 3), (3, -1)]
    assert heard == [*once, 'trying again', (3,), *once, 'left out', (3,), (3, 3)]


def test_nobody_waits_for_the_rest_of_what_is_no_longer_wanted():
    results = Pool(1).work(partial(doubles, ''), [[1], [-5]], lambda task, position: 'it')
    assert next(results) == ([1], [2])
    results.close()
    assert not multiprocessing.active_children()


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine must be one of processes, ray, found 'dask'"):
        Pool(1, engine='dask')


def photos(folder, count=70):
    paths = [str(folder / f'{i:03d}.png') for i in range(count)]
    for i, path in enumerate(paths):
        cv2.imwrite(path, np.random.default_rng(i).integers(0, 256, (16, 16, 3)).astype(np.uint8))
    return paths


def test_statistics_name_the_file_that_kills(tmp_path):
    paths = photos(tmp_path)
    whole = compute_statistics(paths, 16, 'area', 0)
    found = compute_statistics([*paths[:40], Deadly(), *paths[40:]], 16, 'area', 2)
    (sentence,) = found.pop('broken_files')
    assert sentence.startswith('/photos/deadly.png: the process that worked on it died (SIGKILL')
    whole.pop('broken_files')
    assert found == whole


def test_statistics_survive_a_worker_that_is_killed(tmp_path):
    """With multiprocessing.Pool they waited for it for ever."""
    paths = photos(tmp_path)
    whole = compute_statistics(paths, 16, 'area', 0)
    killer = Killer()
    killer.start()
    assert compute_statistics(paths, 16, 'area', 2) == whole
    killer.join(1)
    assert killer.killed


def test_the_doctor_names_the_file_that_kills():
    count = 2 * CHUNK + 3
    found = scan(Photos(count, 70), 2, progress=False)
    assert list(found.problems) == [70] and found.sizes[70].tolist() == [0, 0]
    ((check, sentence),) = found.problems[70]
    assert check == 'unreadable picture' and '70.png: the process that worked on it died (SIGKILL' in sentence
    assert (np.delete(found.sizes, 70, 0) == 8).all()
