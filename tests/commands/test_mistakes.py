"""Typical mistakes, through the command as it is typed: each gets one sentence with what is wrong and what to do."""

import re
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from fsfm_mm.commands import main
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
DETECTOR = str(ROOT / 'configs/deepfake/demo_generated.py')
SMALL = f"""
_base_ = ['{ROOT}/configs/fsfm/fsfm_demo.py']
model = dict(
    backbone=dict(arch=dict(_delete_=True, embed_dim=16, depth=1, num_heads=2), img_size=32),
    pixel_decoder=dict(embed_dim=16, depth=1, num_heads=2),
    rep_decoder=dict(depth=1, num_heads=2),
    projector=dict(hidden_dim=16, out_dim=16),
    predictor=dict(hidden_dim=16),
)
train_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=4, dataset=dict(img_size=32, length=8)
)
train_cfg = dict(max_iters=1)
param_scheduler = dict(total=2, warmup=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
NO_ENCODE = """
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from fsfm_mm.registry import MODELS


@MODELS.register_module(force=True)
class HalfABackbone(BaseBackbone):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.patch_size, self.embed_dims = 8, 16

    def encode(self, patches, split=None):
        return patches

    def forward(self, images):
        return (images,)
"""


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with what mistakes are made with; nothing in it is good for much."""
    folder = tmp_path_factory.mktemp('place')
    (folder / 'small.py').write_text(SMALL)
    (folder / 'half.py').write_text(NO_ENCODE)
    (folder / 'broken_module.py').write_text('import no_such_package\n')
    (folder / 'unclosed.py').write_text('model = dict(\n')
    (folder / 'undefined.py').write_text('a = 1\nmodel = b\n')
    (folder / 'README.md').write_text('about\n')
    (folder / 'empty').mkdir()
    (folder / 'broken').mkdir()
    (folder / 'broken/a.png').write_bytes(b'no picture')
    (folder / 'cut.pth').write_bytes(b'PK\x03\x04 cut')
    torch.save({'state_dict': {'other.weight': torch.zeros(1)}}, folder / 'other.pth')
    model = MODELS.build(Config.fromfile(ROOT / 'configs/fsfm/fsfm_demo.py').model)
    torch.save({'state_dict': model.state_dict()}, folder / 'pretraining.pth')
    for name in ('faces/images', 'faces/parsing_maps', 'few/images', 'few/parsing_maps', 'set/test/real'):
        (folder / name).mkdir(parents=True)
    for i in range(3):
        image, labels = draw_face(i, 64)
        for name in ('faces', 'few'):
            cv2.imwrite(str(folder / name / f'images/{i}.png'), image)
        np.save(folder / f'faces/parsing_maps/{i}.npy', labels)
        cv2.imwrite(str(folder / f'set/test/real/v{i}_frame_0.png'), image)
    (folder / 'misspelt').mkdir()
    (folder / 'set/test/real').rename(folder / 'misspelt/raal')
    (folder / 'one_class/test').mkdir(parents=True)
    (folder / 'misspelt/raal').rename(folder / 'one_class/test/real')
    for name in ('raal', 'fake'):
        (folder / 'misspelt/test' / name).mkdir(parents=True)
    return folder


def small(option, *more):
    return ['train', 'small.py', '--work-dir', 'work', '--cfg-options', option, *more]


#: Arguments, and what the sentence says: the setting or file, and what to do.
MISTAKES = {
    'a command': (['trian'], r"no command 'trian' \(did you mean train\?\)"),
    'a config that is not there': (
        ['train', 'fsfm_dmo'],
        r'no config file fsfm_dmo \(did you mean fsfm_demo',
    ),
    'two configs': (['train', 'small.py', 'half.py'], r'unrecognized arguments: half\.py'),
    'a config of another kind': (['train', 'README.md'], r'config README\.md cannot be read \(Only py'),
    'a config that is not closed': (['train', 'unclosed.py'], r'unclosed\.py is not valid Python .*line 1'),
    'a name in a config': (['train', 'undefined.py'], r'undefined\.py cannot be read \(NameError: .*line 2'),
    'a config of modules': (['train', 'half.py'], r'half\.py .*is it the right file|half\.py cannot be read'),
    'checkpoint for config': (['test', 'other.pth', 'small.py'], r'config other\.pth cannot be read'),
    'no such setting': (small('batchsize=4'), r'batchsize.*no effect'),
    'no such part of a setting': (small('train_dataloader.batchsize=4'), r'did you mean batch_size'),
    'no such hook': (small('default_hooks.loger.interval=2'), r'loger.*did you mean logger'),
    'a hook without type': (small('custom_hooks=[{"interval":2}]'), r'custom_hooks\.0 .*no type'),
    'half a name of a mask': (
        small('train_dataloader.dataset.mask.type=CRFRP'),
        r"dataset\.mask .*no transform 'CRFRP' \(did you mean CRFRPMask",
    ),
    'a model for a loss': (small('model.loss_sim.type=BYOL'), r'loss_sim\.type BYOL is no loss .*BYOLLoss'),
    'a backbone for a loss': (
        small('model.loss_sim.type=ResNet'),
        r'loss_sim\.type ResNet is no loss .*SimSiam',
    ),
    'a backbone that cannot be pretrained': (
        small('model.backbone={"_delete_":True,"type":"ResNet","depth":18}'),
        r'model\.backbone\.type ResNet .*encode.*custom_backbone\.md',
    ),
    'a loss for a head': (
        ['train', DETECTOR, '--work-dir', 'work', '--cfg-options', 'model.head.type=BYOLLoss'],
        r'model\.head\.type BYOLLoss is no head: it has no loss',
    ),
    'weights without a way to load them': (
        small('model.backbone.init_cfg.checkpoint=cut.pth'),
        r'model\.backbone\.init_cfg has no type',
    ),
    'half a backbone': (
        small('custom_imports.imports=[half]', 'model.backbone={"_delete_":True,"type":"HalfABackbone"}'),
        r'HalfABackbone has no grid, in_channels',
    ),
    'a misspelt backbone': (
        small('model.backbone.type=FusedAttentionVit'),
        r'did you mean FusedAttentionViT',
    ),
    'a module that is not there': (
        small('custom_imports.imports=[hlaf]'),
        r"no module 'hlaf' \(did you mean half",
    ),
    'a module that fails': (small('custom_imports.imports=[broken_module]'), r'broken_module fails .*line 1'),
    'a logger that is not there': (
        small('visualizer.vis_backends=[LocalVisBackend,WandVisBackend]'),
        r"vis_backends\.1 .*no vis backend 'WandVisBackend' \(did you mean WandbVisBackend",
    ),
    'a logger as a number': (small('visualizer.vis_backends=3'), r'vis_backends must be names of loggers'),
    'no folder to work in': (
        ['train', 'small.py', '--work-dir', 'README.md'],
        r'README\.md is a file: name a folder',
    ),
    'no permission': (
        ['train', 'small.py', '--work-dir', '/proc/work'],
        r'work directory /proc/work cannot .*name another folder',
    ),
    'a warm-up as long as the run': (small('param_scheduler.total=1'), r'warm-up must be in .*warmup'),
    'text for a number': (small('optim_wrapper.optimizer.lr=fast'), r"lr must be a number, found 'fast'"),
    'text for a truth value': (
        small('model.norm_pix=maybe'),
        r"model\.norm_pix must be True or False, found 'maybe'",
    ),
    'a negative rate': (
        small('optim_wrapper.optimizer.lr=-1'),
        r'optim_wrapper\.optimizer .*learning rate: -1',
    ),
    'a negative norm': (
        small('optim_wrapper.clip_grad.max_norm=-1'),
        r'clip_grad\.max_norm must be positive',
    ),
    'a size and its patches': (
        small('model.backbone.img_size=33'),
        r'model\.backbone .*33x33 is not divisible',
    ),
    'pictures of another size': (
        small('train_dataloader.dataset.img_size=64'),
        r'16 patches .*img_size.*agree',
    ),
    'out of range': (small('model.backbone.drop_path_rate=7'), r'model\.backbone .*drop_path_rate .*found 7'),
    'no iterations': (small('train_cfg.max_iters=0'), r'max_iters.*0'),
    'epochs of a run by iterations': (small('train_cfg.max_epochs=3'), r'train_cfg.*max_epochs'),
    'a batch larger than the data': (
        small('train_dataloader.batch_size=40'),
        r'8 samples, .*train_dataloader\.batch',
    ),
    'workers as a word': (small('train_dataloader.num_workers=two'), r"num_workers must be .*found 'two'"),
    'a sampler as a word': (small('train_dataloader.sampler=x'), r'train_dataloader\.sampler must be a dict'),
    'a seed below zero': (small('randomness.seed=-1'), r'randomness\.seed must be .*found -1'),
    'a log level': (small('log_level=LOUD'), r"log_level 'LOUD' is none of .*INFO"),
    'a GPU on a machine without': (
        ['train', 'small.py', '--device', 'cuda'],
        r'--device cuda: .*--device cpu',
    ),
    'a launcher without its processes': (
        ['train', 'small.py', '--work-dir', 'work', '--launcher', 'pytorch'],
        r'--launcher pytorch .*tools/dist_train\.sh',
    ),
    'nothing to resume': (
        ['train', 'small.py', '--resume', 'gone.pth'],
        r'--resume: there is no checkpoint gone',
    ),
    'a damaged checkpoint': (
        ['train', 'small.py', '--resume', 'cut.pth'],
        r'cut\.pth is cut short or damaged',
    ),
    'weights only': (
        ['train', 'small.py', '--work-dir', 'work', '--resume', 'other.pth'],
        r'weights only.*load_from=FILE',
    ),
    'weights of another model': (
        small('load_from=other.pth'),
        r'other\.pth holds no weight of the backbone of this FSFM, .*--init',
    ),
    'data that are not there': (
        ['train', 'fsfm_vit-s_own-faces', '--work-dir', 'work', '--data', 'gone'],
        r'gone/mean_std\.json.*fsfm-mm stats writes one',
    ),
    'an empty folder of data': (
        ['train', 'fsfm_vit-s_own-faces', '--work-dir', 'work', '--data', 'empty'],
        r'empty/mean_std\.json.*fsfm-mm stats writes one',
    ),
    'a checkpoint of another model': (['test', DETECTOR, 'other.pth'], r'other\.pth .*'),
    'a checkpoint of pretraining': (['test', DETECTOR, 'pretraining.pth'], r'pretraining\.pth .*'),
    'a text for a checkpoint': (['test', DETECTOR, 'README.md'], r'README\.md is not a checkpoint'),
    'a damaged detector': (['test', DETECTOR, 'cut.pth'], r'cut\.pth is cut short or damaged'),
    'no name for a set': (['test', DETECTOR, 'other.pth', '--set', 'empty'], r'--set takes NAME=FOLDER'),
    'results in a file': (['test', DETECTOR, 'other.pth', '--out', 'README.md'], r'README\.md'),
    'leave one out into a file': (
        ['leave-one-out', 'small.py', '--out', 'README.md'],
        r'README\.md is a file: name',
    ),
    'an empty source': (['prepare', 'empty', 'out'], r'empty holds no pictures'),
    'a parser': (['prepare', 'faces', 'out', '--parser', 'farll'], r'farll is neither .*farl'),
    'a parser of that type': (
        ['prepare', 'faces', 'out', '--config', 'undefined.py'],
        r'undefined\.py .*NameError',
    ),
    'output in the source': (
        ['prepare-deepfake', 'folders', 'faces', 'faces/out'],
        r'faces/out lies in .*beside it',
    ),
    'class folders misspelt': (
        ['prepare-deepfake', 'folders', 'misspelt', 'out'],
        r"misspelt/test: .*'real' and with 'fake'.*found 'fake', 'raal'",
    ),
    'a spoofing set of another layout': (
        ['prepare-antispoof', 'casia', 'faces', 'out'],
        r'faces: .*casia has them',
    ),
    'packing nothing': (['pack', 'empty', 'out'], r'empty/images: no such folder'),
    'packing to a file': (['pack', 'faces', 'README.md'], r'README\.md is a file: name'),
    'statistics of nothing': (['stats', 'empty'], r'empty: no images'),
    'statistics into a folder': (
        ['stats', 'faces', '--out', 'empty'],
        r'--out empty is a folder: name a file',
    ),
    'statistics of no size': (['stats', 'faces', '--size', '0'], r'--size must be 1 or more, found 0'),
    'a set of nothing': (['check', 'empty'], r'empty: looks like no data set; expected'),
    'a report in a file': (
        ['check', 'faces', '--json', 'README.md/x.json'],
        r'--json README\.md.* is a file',
    ),
    'a strategy': (
        ['masks', 'faces', '--strategies', 'CRFR'],
        r"no strategy 'CRFR' \(did you mean CRFR-R or CRFR-P",
    ),
    'a ratio': (['masks', 'faces', '--mask-ratio', '2'], r'mask_ratio must lie between 0 and 1.*found 2'),
    'no patch size': (['masks', 'faces', '--patch-size', '0'], r'--patch-size must be 1 or more'),
    'a module of strategies': (
        ['masks', 'faces', '--import', 'hlaf'],
        r"--import: .*'hlaf' \(did you mean half",
    ),
    'no maps': (['masks', 'few'], r'few/images/0\.png.*parsing map|few/parsing_maps'),
    'a source of another kind': (
        ['convert', 'other.pth', 'new.pth', '--from', 'mae'],
        r"'mae' has tensors by name",
    ),
    'no card': (['card', 'other.pth'], r'other\.pth has no card'),
    'a name of several configs': (['config', 'demo_generated'], r'several configs: write antispoof/'),
}


@pytest.mark.parametrize(('arguments', 'sentence'), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence(place, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(place)
    for name in ('RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    code, said = outcome(arguments, capsys)
    assert code not in (0, None), said
    assert 'Traceback' not in said and 'the traceback is in' not in said, said
    last = said.strip().splitlines()[-1]
    assert last.startswith(f'fsfm-mm {arguments[0]}: ' if arguments[0] != 'trian' else 'fsfm-mm: '), said
    assert re.search(sentence, last), last


def outcome(arguments, capsys):
    """Exit code or sentence of a command, and all that it says of what is wrong."""
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    said = capsys.readouterr().err
    return code, f'{said}{code}\n' if isinstance(code, str) else said


def test_a_port_in_use_is_one_sentence(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = str(other.getsockname()[1])
        for name, value in dict(
            RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=port
        ).items():
            monkeypatch.setenv(name, value)
        code, said = outcome([*small('log_level=WARNING'), '--launcher', 'pytorch'], capsys)
    assert code == f'fsfm-mm train: {said.partition(": ")[2].strip()}'
    assert f'port {port}, ' in code and 'MASTER_PORT' in code


def test_there_are_forty():
    assert len(MISTAKES) >= 40
