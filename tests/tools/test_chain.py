"""README's chain in small: own pretraining, a detector from its folder, and the numbers of its test, anywhere."""

import csv
import json
import shutil

import cv2
import pytest
import torch
from mmengine.config import Config
from test_test import ROOT
from tiny_run import tiny_runner

import fsfm_mm
from fsfm_mm.checkpoints import read_card
from fsfm_mm.commands import test, train
from fsfm_mm.datasets.transforms import LoadFace, ResizeFace
from fsfm_mm.drawn.face_drawing import draw_face

STATS = {'mean': [0.61, 0.52, 0.43], 'std': [0.31, 0.22, 0.13]}
SMALL = ['--cfg-options', 'train_cfg.max_epochs=1', 'param_scheduler.total=1', 'param_scheduler.warmup=0']
SMALL += ['train_dataloader.batch_size=4', 'train_dataloader.num_workers=0', 'log_level=WARNING']
SMALL += ['train_dataloader.persistent_workers=False', 'test_dataloader.num_workers=0']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Folder with pictures, a pretraining run whose statistics came from a file, and a detector's config."""
    folder = tmp_path_factory.mktemp('project')
    for split, start in (('train', 0), ('test', 50)):
        for i, name in enumerate(('real', 'fake')):
            (folder / 'mine' / split / name).mkdir(parents=True)
            for j in range(6):
                picture = draw_face(start + 10 * i + j, 64)[0]
                cv2.imwrite(str(folder / 'mine' / split / name / f'{split}{j}_frame_0.png'), picture)
    (folder / 'mean_std.json').write_text(json.dumps(STATS))
    preprocessor = dict(type='FaceDataPreprocessor', stats=str(folder / 'mean_std.json'))
    runner = tiny_runner(
        folder / 'my_faces',
        max_iters=2,
        hooks=dict(
            card=dict(type='CardHook'), checkpoint=dict(type='SafeCheckpointHook', interval=2, by_epoch=False)
        ),
        model=dict(data_preprocessor=preprocessor),
    )
    runner.train()
    config = Config.fromfile(ROOT / 'configs/deepfake/vit-t_own-faces.py')
    for name in ('train', 'test'):
        config[f'{name}_dataloader'].dataset.data_root = str(folder / 'mine')
    config.val_dataloader = config.test_dataloader.to_dict()
    config.val_dataloader['dataset']['max_frames_per_video'] = 1
    config.val_evaluator, config.val_cfg = config.test_evaluator, dict()
    config.dump(folder / 'detector.py')
    return folder


def arguments(project, name='detector'):
    encoder = f'model.backbone.init_cfg.checkpoint={project / "my_faces"}'
    workers = ['val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False']
    return [str(project / 'detector.py'), '--work-dir', str(project / name), *SMALL, *workers, encoder]


def validated(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return next(row for row in map(json.loads, path.read_text().splitlines()) if 'frame/AUC' in row)


def test_the_chain_as_printed_and_its_numbers_anywhere(project, tmp_path, monkeypatch):
    train.main(arguments(project))
    own, encoder = (
        read_card(project / 'detector' / 'epoch_1.pth'),
        read_card(project / 'my_faces' / 'iter_2.pth'),
    )
    assert own.mean == pytest.approx(STATS['mean']) and own.std == pytest.approx(STATS['std'])
    assert own.num_heads == encoder.num_heads and own.input_size == encoder.input_size == 32
    assert own.patch_size == encoder.patch_size and own.classes == ('fake', 'real')
    theirs = encoder.model['backbone']
    assert {key: own.model['backbone'].get(key) for key in theirs if key != 'init_cfg'} == theirs
    (project / 'mean_std.json').rename(project / 'gone.json')
    shutil.move(project / 'detector', tmp_path / 'moved')
    monkeypatch.chdir(tmp_path)
    expected = validated(tmp_path / 'moved')
    test.main([
        str(project / 'detector.py'), 'moved', '--out', 'out', '--bootstrap', '0', '--protocol', 'published',
        '--cfg-options', 'test_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    ])  # fmt: skip
    row = next(iter(json.loads((tmp_path / 'out' / 'published.json').read_text())['rows'].values()))
    expected = {key.removeprefix('val/'): value for key, value in expected.items()}
    compared = [key for key in row if key in expected]
    assert {'frame/AUC', 'frame/ACC', 'video/AUC'} <= set(compared)
    assert [row[key] for key in compared] == pytest.approx([expected[key] for key in compared], abs=1e-6)
    model, card = fsfm_mm.load('moved')
    assert model.backbone.num_heads == card.num_heads
    # what README's application does with a picture gives the score that the test gave it
    (samples,) = (tmp_path / 'out').glob('published_*_samples*.csv')
    for row in list(csv.DictReader(samples.open()))[:3]:
        face = ResizeFace(card.input_size)(LoadFace()({'img_path': row['img_path']}))['img']
        with torch.inference_mode():
            data = model.data_preprocessor({'inputs': torch.from_numpy(face).permute(2, 0, 1)[None]})
            (found,) = model(**data, mode='predict')
        scores = dict(zip(card.classes, found.pred_score.tolist()))
        assert scores['real'] == pytest.approx(float(row['score']), abs=1e-5)


def test_a_pretraining_is_no_classifier(project):
    with pytest.raises(SystemExit, match=r'holds a FSFM of pretraining.*--init'):
        test.main([str(project / 'detector.py'), str(project / 'my_faces'), '--out', str(project / 'x')])
