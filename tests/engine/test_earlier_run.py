"""A second run in a work directory: refused, or begun anew when that is asked for; nothing of the user's is touched."""

import pytest
from mmengine.config import Config

from fsfm_mm.engine.earlier_run import check_earlier_run, remove_earlier_run

CHECKPOINTS = [
    'epoch_2.pth',
    'iter_40.pth',
    'best_frame_AUC_epoch_1.pth',
    'stopped.pth',
    'failed_step.pth',
]


def run_in(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def config(folder, **changes):
    return Config(dict(work_dir=str(folder), model=dict(backbone=dict(init_cfg=None)), **changes))


@pytest.mark.parametrize('name', CHECKPOINTS)
def test_checkpoints_of_a_run_are_not_replaced_in_silence(tmp_path, name):
    cfg = config(run_in(tmp_path, name))
    with pytest.raises(
        ValueError, match=rf'holds .* already \({name}\): .*--resume.*--work-dir.*--overwrite'
    ):
        check_earlier_run(cfg)
    check_earlier_run(cfg, overwrite=True)
    check_earlier_run(config(tmp_path, resume=True))
    with pytest.raises(ValueError, match='give one of them'):
        check_earlier_run(config(tmp_path, resume=True), overwrite=True)


@pytest.mark.parametrize('name', ['model.pth', 'vit.safetensors', 'config.py', '20260101_000000/x.log'])
def test_what_is_no_checkpoint_of_a_run_does_not_stop_one(tmp_path, name):
    check_earlier_run(config(run_in(tmp_path / 'work', name)))
    check_earlier_run(config(tmp_path / 'new'))


@pytest.mark.parametrize('name', ['elsewhere/../run/epoch_2.pth', 'run'])
def test_the_start_of_the_new_run_is_not_removed(tmp_path, name):
    cfg = config(run_in(tmp_path / 'run', 'epoch_2.pth'))
    cfg.model.backbone.init_cfg = [dict(checkpoint=str(tmp_path / name))]
    (tmp_path / 'elsewhere').mkdir()
    with pytest.raises(
        ValueError, match=rf'--overwrite would remove .*{name}, from which the new run begins'
    ):
        check_earlier_run(cfg, overwrite=True)


def test_removed_is_what_a_run_leaves_and_nothing_else(tmp_path):
    gone = [*CHECKPOINTS, 'last_checkpoint', 'loss_curve.png', 'broken_files.txt']
    gone += [
        'reconstructions/iter_0000002.png',
        '20260101_000000/vis_data/scalars.json',
        'test/epoch_2/honest.json',
    ]
    kept = ['mine.pth', 'notes.txt', 'config.py', 'chosen/honest.json', '20260102_000000/x.log', '.running']
    run_in(tmp_path, *gone, *kept)
    remove_earlier_run(tmp_path, tmp_path / '20260102_000000')
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()} == set(kept)
