"""What the machine, a launcher or a second command does is never laid at a file's door, and stops nothing else."""

import argparse
import json
import os
import shutil

import pytest
import torch
from engine_fakes import (
    MACHINE_MARKS,
    PARSER_MACHINE_MARKS,
    execution,
    items_of,
    picture,
    settings,
    tree,
    video_item,
    write_pictures,
    write_video,
)
from test_ray_engine import StandIn

from fsfm_mm.commands.preparing import exit_code, share_of
from fsfm_mm.files.parallel import Attempt
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation import plan
from fsfm_mm.preparation.chunks import chunk_worker
from fsfm_mm.preparation.cutting import reading
from fsfm_mm.preparation.cutting.cutter import Cutter
from fsfm_mm.preparation.run import Outcome, Share, _remove_leftovers, prepare
from fsfm_mm.preparation.settings import Execution
from fsfm_mm.preparation.sources.items import FrameChoice, Item


def test_exit_codes_of_shares_and_ranks(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos', 8)
    (tmp_path / 'photos' / '00.png').write_bytes(b'broken')
    first = prepare(items, tmp_path / 'out', settings(), execution(), share=Share(0, 2))
    assert first.tally.failures == 1 and not first.complete and exit_code(first, True) == 0
    last = prepare(items, tmp_path / 'out', settings(), execution(), share=Share(1, 2))
    assert last.complete and exit_code(last, False) == 2
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert exit_code(last, True) == 0
    monkeypatch.setenv('WORLD_SIZE', '1')
    monkeypatch.setenv('RANK', '0')
    assert exit_code(last, False) == 2
    nothing = Outcome(True, False, False, type(last.tally)())
    assert exit_code(nothing, False) == 2


def test_a_share_says_which_it_is(capsys, monkeypatch):
    assert share_of(argparse.Namespace(shard=None, num_shards=None)) == Share(0, 1)
    assert capsys.readouterr().err == ''
    share_of(argparse.Namespace(shard=2, num_shards=4))
    assert capsys.readouterr().err == 'this command is share 2 of 0 .. 3.\n'


@pytest.mark.parametrize('workers', [0, 1])
def test_sources_that_vanish_stop_the_run(tmp_path, workers):
    """The folder is gone when the second chunk is read, as when a disk is unmounted."""
    items = write_pictures(tmp_path / 'photos', 8)
    whole = prepare(items, tmp_path / 'whole', settings(), execution())
    (tmp_path / 'photos' / '04.png').rename(tmp_path / '04.png')
    moved = plan.make_plan  # planned while everything is there

    def planned(*args):
        (tmp_path / '04.png').rename(tmp_path / 'photos' / '04.png')
        result = moved(*args)
        (tmp_path / 'photos').rename(tmp_path / 'unmounted')
        (tmp_path / 'photos').mkdir()
        for name in ('00.png', '01.png', '02.png', '03.png'):
            shutil.copy(tmp_path / 'unmounted' / name, tmp_path / 'photos')
        return result

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(StoppedError, match=r'04\.png was there when .* gone'),
    ):
        patch.setattr('fsfm_mm.preparation.run.make_plan', planned)
        prepare(items, tmp_path / 'out', settings(), execution(workers))
    shutil.rmtree(tmp_path / 'photos')
    (tmp_path / 'unmounted').rename(tmp_path / 'photos')
    assert prepare(items, tmp_path / 'out', settings(), execution()).tally.statuses == whole.tally.statuses
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_a_dangling_link_is_only_unreadable(tmp_path):
    items = write_pictures(tmp_path / 'photos', 2)
    (tmp_path / 'photos' / 'link.png').symlink_to(tmp_path / 'nowhere.png')
    items.append(Item(str(tmp_path / 'photos' / 'link.png'), 'link.png', 0, 'link'))
    outcome = prepare(items, tmp_path / 'out', settings(), execution())
    assert outcome.tally.statuses == {'ok': 2, 'unreadable': 1}


@pytest.mark.parametrize('mark', [*MACHINE_MARKS, *PARSER_MACHINE_MARKS])
@pytest.mark.parametrize('workers', [0, 1])
def test_failures_of_the_machine_stop_the_run(tmp_path, mark, workers):
    items = write_pictures(tmp_path / 'photos', 2, victim=mark)
    with pytest.raises(StoppedError, match=r'cannot work on this machine .*it is all used up') as caught:
        prepare(items, tmp_path / 'out', settings(), execution(workers))
    assert ('smaller --batch-size' in str(caught.value)) == (MACHINE_MARKS.get(mark) is not ConnectionError)
    assert not list((tmp_path / 'out').rglob('*.jsonl'))


def test_models_are_loaded_before_the_first_file(tmp_path):
    items = write_pictures(tmp_path / 'photos', 2)
    chosen, out = settings(parser=dict(type='MustBePrepared')), tmp_path / 'out'
    made = plan.make_plan(items, chosen, {})
    plan.begin(out, made)
    assert chunk_worker(chosen, execution(), out, 0)(made.chunks[0], Attempt()) == {'ok': 2}
    assert prepare(items, tmp_path / 'other', chosen, execution()).tally.statuses == {'ok': 2}


def test_ray_stops_where_the_machine_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'ray', StandIn())
    items = write_pictures(tmp_path / 'photos', 2, victim=next(iter(MACHINE_MARKS)))
    with pytest.raises(StoppedError, match='MemoryError: it is all used up'):
        prepare(items, tmp_path / 'out', settings(), execution(), engine='ray')


def test_at_most_two_workers_for_each_gpu(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(64))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)
    assert Execution().num_workers(with_device=True) == 8
    assert Execution(device='cuda:3').num_workers(with_device=True) == 2
    assert Execution(device='cpu').num_workers(with_device=True) == Execution().num_workers() == 64
    assert Execution(workers=20).num_workers(with_device=True) == 20
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert Execution().num_workers(with_device=True) == 2


def test_of_two_commands_at_once_only_one_run_goes_on(tmp_path, monkeypatch):
    """The second finds the folder free, and taken by another run when it takes it itself."""
    items = write_pictures(tmp_path / 'photos', 2)
    first, second = (plan.make_plan(items, settings(margin=margin), {}) for margin in (1.3, 1.5))
    write = plan.write_atomically

    def overtaken(path, *args, **options):
        monkeypatch.setattr(plan, 'write_atomically', write)
        plan.begin(tmp_path / 'out', first)
        return write(path, *args, **options)

    monkeypatch.setattr(plan, 'write_atomically', overtaken)
    with pytest.raises(ValueError, match=r'was begun with margin 1\.3, not 1\.5'):
        plan.begin(tmp_path / 'out', second)
    plan.begin(tmp_path / 'out', first)
    assert os.listdir(tmp_path / 'out' / '.prepare') == ['plan.json']
    assert json.loads((tmp_path / 'out' / '.prepare' / 'plan.json').read_text()) == first.about


def test_a_disk_without_hard_links(tmp_path, monkeypatch):
    made = plan.make_plan(write_pictures(tmp_path / 'photos', 2), settings(), {})

    def refuse(*_):
        raise PermissionError('no hard links here')

    monkeypatch.setattr(os, 'link', refuse)
    plan.begin(tmp_path / 'out', made)
    assert json.loads((tmp_path / 'out' / '.prepare' / 'plan.json').read_text()) == made.about


def test_a_long_way_to_the_wanted_frames_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, '_ALIVE_EVERY', 10)
    write_video(tmp_path / 'v.mp4', [picture(seed, 64) for seed in range(45)])
    for choice in (FrameChoice('count', 1), FrameChoice('stride', 40)):
        calls = []
        list(reading.read_frames(tmp_path / 'v.mp4', choice, lambda calls=calls: calls.append(1)))
        assert len(calls) == 4
    calls = []
    nobody = {
        'crops_already': False,
        'upright_score': None,
        'detect': lambda self, found: [[] for _ in found],
    }
    detector = type('Nobody', (), nobody)()
    cutter = Cutter(settings(), detector, lambda crop: 0, lambda: calls.append(1))
    cutter.cut(video_item(tmp_path / 'v.mp4', FrameChoice('stride', 45)))
    assert len(calls) == 5  # and one for the only batch


@pytest.mark.parametrize(
    'count, expected', [(1, 16), (1024, 16), (1025, 17), (3200, 50), (16384, 256), (99999, 256)]
)
def test_the_plan_chooses_the_chunk_size_from_the_listing(count, expected):
    items = [Item(f'{i}.png', f'{i}.png', 0, str(i)) for i in range(count)]
    assert plan.default_chunk_size(items) == expected
    made = plan.make_plan(items, settings(chunk_size=None), {})
    assert made.about['chunk_size'] == expected and len(made.chunks[0].items) == min(expected, count)


def test_a_leftover_that_another_share_removes_first(tmp_path, monkeypatch):
    (tmp_path / '.a.png.77.part').write_bytes(b'x')
    walked = list(os.walk(tmp_path))
    monkeypatch.setattr(os, 'walk', lambda _: walked)
    _remove_leftovers(tmp_path)
    _remove_leftovers(tmp_path)
    assert items_of(tmp_path) == []
