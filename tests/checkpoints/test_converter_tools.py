"""The two commands, as users call them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from foreign_checkpoints import build_classifier, golden, reference_checkpoint
from golden import build_tiny_fsfm, load_pretrain_golden, tensors
from mmengine.runner.checkpoint import load_checkpoint
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import load_checkpoint_file, read_card
from fsfm_mm.commands import card as show_card
from fsfm_mm.commands import convert as convert_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fine_tuned(tmp_path):
    state, arrays, meta = golden('vit_cls_avg')
    torch.save(reference_checkpoint(state), tmp_path / 'checkpoint-best.pth')
    (tmp_path / 'pretrain_ds_mean_std.txt').write_text(
        '{"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}\nx\n'
    )
    return tmp_path / 'checkpoint-best.pth', arrays, meta


@pytest.mark.parametrize('name', ['out.pth', 'out.safetensors'])
def test_a_fine_tuned_file(fine_tuned, tmp_path, name, capsys):
    src, arrays, meta = fine_tuned
    out = tmp_path / name
    convert_checkpoint.main(
        [str(src), str(out), '--from', 'fsfm-finetuned', '--card', 'crop_margin=1.3', 'detector=dlib']
        + ['--num-heads', '3']
    )
    said = capsys.readouterr().out
    assert f'{len(golden("vit_cls_avg")[0])} tensors renamed' in said and f'written: {out}' in said
    model = build_classifier(meta)
    model.load_state_dict(load_checkpoint_file(out)['state_dict'], strict=True)
    logits = model(arrays['in/img'], mode='tensor')
    assert torch.allclose(logits.double(), arrays['out/logits'], rtol=0, atol=1e-5)
    card = read_card(out)
    assert (card.classes, card.positive_class) == (('fake', 'real'), 'real')
    assert (card.mean, card.std) == ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1))
    assert (card.input_size, card.patch_size, card.crop_margin, card.detector) == (32, 8, 1.3, 'dlib')
    assert card.num_heads == meta['num_heads'] == 3
    built = MODELS.build(card.model).eval()  # the card is enough
    built.load_state_dict(load_checkpoint_file(out)['state_dict'], strict=True)
    assert torch.allclose(built(arrays['in/img'], mode='tensor'), logits, rtol=0, atol=1e-6)
    assert torch.allclose(built.data_preprocessor.mean.flatten(), 255 * torch.tensor(card.mean))
    assert card.source == 'converted from fsfm-finetuned: checkpoint-best.pth'
    if name == 'out.pth':  # mmengine's loader and mmpretrain's look for the class names
        loaded = load_checkpoint(build_classifier(meta), str(out), strict=True)
        capsys.readouterr()  # mmengine says that it loads
        assert loaded['meta']['dataset_meta'] == {'classes': ['fake', 'real'], 'positive_class': 'real'}

    show_card.main([str(out), '--json'])
    assert json.loads(capsys.readouterr().out)['classes'] == ['fake', 'real']
    show_card.main([str(out), '--config'])
    shown = capsys.readouterr().out
    assert "['fake', 'real']" in shown and 'no config in the card' in shown
    assert next(line for line in shown.splitlines() if line.startswith('threshold')).endswith('not known')


def test_pretraining_with_target_and_on_to_timm(tmp_path, capsys):
    arrays, _ = load_pretrain_golden()
    online, target = (tensors(arrays, f'{part}/', torch.float32) for part in ('online', 'target'))
    torch.save(reference_checkpoint(online), tmp_path / 'a.pth')
    torch.save(reference_checkpoint(target), tmp_path / 'te.pth')
    out, vit = str(tmp_path / 'out.pth'), str(tmp_path / 'vit.safetensors')
    convert_checkpoint.main(
        [str(tmp_path / 'a.pth'), out, '--from', 'fsfm-pretrain', '--target-file', str(tmp_path / 'te.pth')]
        + ['--num-heads', '3', '--card', 'mean=[0.5,0.4,0.3]', 'std=[0.3,0.2,0.1]']
    )
    build_tiny_fsfm().load_state_dict(load_checkpoint_file(out)['state_dict'], strict=True)
    assert read_card(out).task == 'pretrain' and read_card(out).classes is None
    convert_checkpoint.main([out, vit, '--from', 'fsfm_mm', '--to', 'timm'])
    state = load_checkpoint_file(vit)['state_dict']
    assert torch.equal(state['norm.weight'], online['norm.weight']) and 'mask_token' not in state
    assert read_card(vit) == read_card(out)


def failing(main, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    message = str(caught.value)
    assert message.startswith('fsfm-mm c') and '\n' not in message
    return message


def test_errors_are_one_sentence_and_nothing_is_written(fine_tuned, tmp_path, capsys):
    src, *_ = fine_tuned
    out = tmp_path / 'out.pth'
    run = convert_checkpoint.main
    assert 'the keys are not those of' in failing(run, [src, out, '--from', 'fsfm-pretrain'], capsys)
    assert 'cannot be read' in failing(run, [tmp_path / 'no.pth', out, '--from', 'mae'], capsys)
    base = [src, out, '--from', 'fsfm-finetuned', '--num-heads', 3]
    for wrong, words in (
        ('patch_size=16', r'says patch_size 8, but in what was given it is 16'),
        ('mean=[0.1,0.1,0.1]', r'says mean \(0.5, 0.4, 0.3\), but in what was given it is'),
        ('num_heads=4', '--num-heads 3 and --card num_heads=4 differ'),
    ):
        assert re.search(words, failing(run, [*base, '--card', wrong, 'std=[0.3,0.2,0.1]'], capsys))
    said = failing(run, base[:-2], capsys)
    assert 'how many attention heads these weights of width 48 have' in said and '--num-heads' in said
    assert 'not divisible by 5 heads' in failing(run, [*base[:-1], 5], capsys)
    assert "'threshold' must be" in failing(run, [*base, '--card', 'threshold=7'], capsys)
    assert 'colour' in failing(run, [*base, '--card', 'colour=red'], capsys)
    (tmp_path / 'pretrain_ds_mean_std.txt').write_text('{"mean": [200, 1, 1]}')
    assert 'pretrain_ds_mean_std.txt: "mean" must be' in failing(run, base, capsys)
    assert not out.exists()
    assert 'has no card' in failing(show_card.main, [src], capsys)
    name = 'fsfm-vit-base-vggface2'
    for argv in ([str(src), str(out)], [str(src), str(out), '--from', 'guess']):
        with pytest.raises(SystemExit):
            run(argv)
    assert name in convert_checkpoint.EPILOG


@pytest.mark.slow
@pytest.mark.parametrize('tool', ['convert_checkpoint.py', 'show_card.py'])
def test_help(tool):
    command = [sys.executable, str(ROOT / 'tools/converters' / tool), '--help']
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and 'examples:' in result.stdout and '--trust' in result.stdout
