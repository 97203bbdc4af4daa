"""The published fine-tuning recipes as tables, and the configs that they make: ``python tests/recipes.py`` writes them.

One row is one config; test_recipes.py compares the files with what this writes, and their settings with the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
WIDTH = {'small': 384, 'base': 768, 'large': 1024}
DEPTH = {'small': 12, 'base': 12, 'large': 24}
LETTER = {'s': 'small', 'b': 'base', 'l': 'large'}
#: Trained parameters of FS-Adapter with a head of two classes.
ADAPTER_PARAMETERS = {'small': '84,578', 'base': '335,042', 'large': '594,178'}
UNKNOWN = "in a table of FS-VFM (arXiv 2510.10663); known here are ViT-L's on deepfakes only"


class Row(NamedTuple):
    """A recipe of deepfake detection or diffusion forgery; lr = blr * batch / 256."""

    weights: str
    arch: str
    batch: int
    epochs: int
    blr: float
    layer_decay: float | None
    weight_decay: float
    view: str
    published: str
    statistics: str = 'vggface2'
    contrast: float | None = None
    #: Samples whose projections are compared: those of one of the two published GPUs.
    group: int | None = None

    @property
    def sets(self) -> tuple[str, ...]:
        """Of deepfake detection: the sets that the published numbers are on."""
        return FSFM_SETS if self.weights == FSFM else FSVFM_SETS


FSFM_DFD = """Published video AUC: Celeb-DF v2 91.44, DFDC 83.47, DFDCP 89.71, WDF 86.96 (frames: 85.05, 80.20,
85.50, 85.26); video EER .1574, .2507, .2000, .2073. Their Celeb-DF v2 leaves out YouTube-real."""
FSVFM_L_DFD = """Published video AUC: Celeb-DF v2 95.17, DFD (raw) 97.17, DFDC 87.75, DFDCP 93.35; an independent re-run
got 91.99 (Celeb-DF v2), 86.51 (DFD), 86.45 (DFDC), 90.51 (DFDCP)."""
FSFM_SETS = ('celebdf_v2', 'dfdc', 'dfdc_preview', 'wilddeepfake')
FSVFM_SETS = ('celebdf_v2', 'dfd_raw', 'dfdc', 'dfdc_preview', 'celebdf_pp_noyt')
VF2 = 'fs-vfm-vit-{}-vggface2'.format
FSFM = 'fsfm-vit-base-vggface2'
DEEPFAKE = {
    'fsfm_vit-b_ffpp-c23_10e': Row(FSFM, 'base', 64, 10, 2.5e-4, 0.65, 0.05, 'centre', FSFM_DFD),
    'fsvfm_vit-s_ffpp-c23_10e': Row(VF2('small'), 'small', 64, 10, 2e-4, 0.65, 0.03, 'whole', UNKNOWN),
    'fsvfm_vit-b_ffpp-c23_10e': Row(VF2('base'), 'base', 64, 10, 2e-4, 0.60, 0.03, 'whole', UNKNOWN),
    'fsvfm_vit-l_ffpp-c23_10e': Row(VF2('large'), 'large', 64, 10, 5e-5, 0.90, 0.01, 'whole', FSVFM_L_DFD),
    'fsvfm_vit-s_adapter_ffpp-c23_60e': Row(
        VF2('small'), 'small', 512, 60, 1e-3, None, 0.0, 'whole', UNKNOWN, contrast=0.01, group=256
    ),
    'fsvfm_vit-b_adapter_ffpp-c23_50e': Row(
        VF2('base'), 'base', 256, 50, 5e-3, None, 0.0, 'whole', UNKNOWN, contrast=0.01, group=128
    ),
    'fsvfm_vit-l_adapter_ffpp-c23_50e': Row(
        VF2('large'), 'large', 256, 50, 1e-2, None, 0.0, 'whole', UNKNOWN, contrast=0.1, group=128
    ),
}
DIFF_FSFM = 'in a table of FSFM (arXiv 2412.12032), not known here'
DIFFUSION = {
    'fsfm_vit-b_ffpp-df-c23_50e': Row(
        'fsfm-vit-base-ffpp-o', 'base', 256, 50, 5e-4, 0.65, 0.05, 'centre', DIFF_FSFM, 'imagenet'
    ),
    'fsfm_vit-b_vggface2_ffpp-df-c23_10e': Row(FSFM, 'base', 64, 10, 1e-4, 0.90, 0.03, 'centre', UNKNOWN),
    'fsvfm_vit-s_ffpp-df-c23_10e': Row(VF2('small'), 'small', 64, 10, 5e-5, 0.95, 0.05, 'centre', UNKNOWN),
    'fsvfm_vit-b_ffpp-df-c23_10e': Row(VF2('base'), 'base', 64, 10, 5e-5, 0.90, 0.03, 'centre', UNKNOWN),
    'fsvfm_vit-l_ffpp-df-c23_10e': Row(VF2('large'), 'large', 64, 10, 5e-5, 0.90, 0.05, 'centre', UNKNOWN),
    'fsvfm_vit-s_adapter_ffpp-df-c23_60e': Row(
        VF2('small'), 'small', 256, 60, 1e-2, None, 0.0, 'centre', UNKNOWN, contrast=0.01, group=128
    ),
    'fsvfm_vit-b_adapter_ffpp-df-c23_50e': Row(
        VF2('base'), 'base', 256, 50, 1e-2, None, 0.0, 'centre', UNKNOWN, contrast=0.05, group=128
    ),
    'fsvfm_vit-l_adapter_ffpp-df-c23_50e': Row(
        VF2('large'), 'large', 1024, 50, 5e-3, None, 0.0, 'centre', UNKNOWN, contrast=0.1, group=512
    ),
}


class Spoof(NamedTuple):
    """A recipe of face anti-spoofing, for every target of both benchmarks."""

    weights: str
    arch: str
    lr: float
    weight_decay: float
    benchmarks: tuple[str, ...] = ('mcio', 'wcs')
    contrast: float | None = None
    #: Samples of each (domain, class) in a batch.
    per_group: int = 12

    @property
    def seeds(self) -> list[int]:
        """Of the published runs; FS-Adapter's three are known by their number only."""
        return list(range(3 if self.contrast else 5))


ANTISPOOF = {
    'fsfm_vit-b': Spoof(FSFM, 'base', 1e-4, 1e-6),
    'fsvfm_vit-s': Spoof(VF2('small'), 'small', 2.5e-5, 1e-6),
    'fsvfm_vit-b': Spoof(VF2('base'), 'base', 2.5e-5, 1e-6),
    'fsvfm_vit-l': Spoof(VF2('large'), 'large', 1e-5, 1e-5),
    'fsvfm_vit-s_adapter': Spoof(VF2('small'), 'small', 5e-2, 1e-6, contrast=0.1, per_group=24),
    'fsvfm_vit-b_adapter': Spoof(VF2('base'), 'base', 5e-2, 5e-5, contrast=0.1, per_group=24),
    'fsvfm_vit-l_adapter': Spoof(VF2('large'), 'large', 1e-3, 1e-7, contrast=0.2, per_group=24),
}
#: Benchmark -> letter of the target -> (domain in the lists, name).
DOMAINS = {
    'mcio': {
        'm': ('msu', 'MSU-MFSD'),
        'c': ('casia', 'CASIA-FASD'),
        'i': ('replay', 'Replay-Attack'),
        'o': ('oulu', 'OULU-NPU'),
    },
    'wcs': {'w': ('wmca', 'WMCA'), 'c': ('cefa', 'CeFA'), 's': ('surf', 'CASIA-SURF')},
}
#: Published HTER and AUC in percent, by config.
SPOOF_NUMBERS = {
    'fsfm_vit-b_mcio-m': (3.78, 99.15),
    'fsfm_vit-b_mcio-c': (3.16, 99.41),
    'fsfm_vit-b_mcio-i': (4.63, 99.03),
    'fsfm_vit-b_mcio-o': (7.68, 97.11),
}
METHODS = {'fsfm': 'FSFM', 'fsvfm': 'FS-VFM'}


def spoof_configs() -> dict[str, tuple[Spoof, str, str]]:
    """Name -> recipe, benchmark and the target's letter."""
    return {
        f'{name}_{benchmark}-{letter}': (row, benchmark, letter)
        for name, row in ANTISPOOF.items()
        for benchmark in row.benchmarks
        for letter in DOMAINS[benchmark]
    }


def _model_of(name: str) -> str:
    method, size = name.split('_')[:2]
    return f'{METHODS[method]} {size.replace("vit-", "ViT-").upper().replace("VIT", "ViT")}/16'


def _number(value: float) -> str:
    """The shortest way to write a number, as people write it in configs."""
    if value == 0:
        return '0.0'
    text = f'{value:.10g}'
    short = f'{value:e}'.split('e')
    scientific = f'{short[0].rstrip("0").rstrip(".")}e{int(short[1])}'
    return scientific if abs(value) < 1e-2 else text


def _fields(**values: str | None) -> str:
    return ', '.join(f'{name}={value}' for name, value in values.items() if value is not None)


def _published(text: str) -> str:
    return text if text.startswith('Published') else f'Published number: {text}.'


def forgery_config(folder: str, name: str, row: Row) -> str:
    """Text of a config of deepfake detection or diffusion forgery."""
    adapter = row.contrast is not None
    how = (
        f'FS-Adapter on a frozen {_model_of(name)}'
        if adapter
        else f'{_model_of(name)} fine-tuned, all layers'
    )
    if folder == 'deepfake':
        title = f'Deepfake detection: {how}, FF++ c23; tested on unseen sets.'
        prepare = ''
    else:
        title = f'Unseen diffusion forgery (DiFF): {how}, FF++ DeepFakes c23 only.'
        prepare = (
            'python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes\n'
            'python tools/data/prepare_deepfake.py diff DiFF data/diff\n'
        )
    lines = [f'"""{title}\n\n{prepare}python tools/train.py configs/{folder}/{name}.py']
    trained = f' {ADAPTER_PARAMETERS[row.arch]} trained parameters.' if adapter else ''
    lines.append(f'Effective batch {row.batch}.{trained} Hardware, time and result: not yet measured here.')
    lines.append(_published(row.published))
    if folder == 'diffusion' and row.statistics == 'imagenet':
        lines.append(
            'The published run kept, for each subset, the checkpoint of the least *DiFF validation* loss: a choice on\n'
            'the target, which `tools/test.py --protocol published` repeats and marks; the honest protocol takes\n'
            'FF++ validation.'
        )
    model = 'vit_adapter' if adapter else 'vit_classifier'
    schedule = 'frozen_50e' if adapter else 'finetune_10e'
    data = 'ffpp_c23' if folder == 'deepfake' else 'ffpp_df_diff'
    lines.append('"""\n\n_base_ = [')
    bases = (f'models/{model}', f'datasets/{data}', f'schedules/{schedule}', 'deepfake_runtime')
    lines += [f"    '../_base_/{base}.py'," for base in bases]
    lines.append(']\n')
    usual_epochs = 50 if adapter else 10
    if row.epochs != usual_epochs:
        lines.append(f'max_epochs = {row.epochs}\n')
    differing = ", differing=('mean', 'std')" if row.statistics == 'imagenet' else ''
    backbone = _fields(
        arch=None if row.arch == 'base' else repr(row.arch),
        frozen_stages=str(DEPTH[row.arch]) if adapter and DEPTH[row.arch] != 12 else None,
        init_cfg=f"dict(checkpoint='{row.weights}'{differing})",
    )
    head = _fields(
        in_channels=None if row.arch == 'base' else str(WIDTH[row.arch]),
        contrast=f'dict(loss_weight={_number(row.contrast)}, group_size={row.group})'
        if row.contrast
        else None,
    )
    lines.append('model = dict(')
    if row.statistics != 'vggface2':
        lines[-1] = (
            '# the published run normalised with other statistics than its encoder was pretrained with\n'
            + lines[-1]
        )
        lines.append(f"    data_preprocessor=dict(stats='{row.statistics}'),")
    lines.append(f'    backbone=dict({backbone}),')
    if head:
        lines.append(f'    head=dict({head}),')
    lines.append(')')
    loader = _fields(batch_size=None if row.batch == 64 else str(row.batch))
    if row.statistics != 'vggface2':
        # the augmentation fills with the mean colour
        stats = f"dict(type='TimmTrainAugment', size=224, stats='{row.statistics}', interpolation='bilinear')"
        lines.append(f'augment = {stats}')
        lines.append('train_dataloader = dict(')
        lines.append(f'    {loader},')
        lines.append("    dataset=dict(pipeline=[dict(type='LoadFace'), augment, {{_base_.pack}}]),")
        lines.append(')')
    elif loader:
        lines.append(f'train_dataloader = dict({loader})')
    if folder == 'deepfake':
        lines.append(f'published_on = {list(row.sets)}')
    if folder == 'deepfake' and row.view == 'centre':
        lines.append('# as published: tested in the view of the validation, 12.5% tighter')
        lines.append('test_dataloader = dict(dataset=dict(pipeline={{_base_.val_pipeline}}))')
    lines.append('optim_wrapper = dict(')
    if row.layer_decay is not None:
        lines.append(f'    paramwise_cfg=dict(layer_decay={_number(row.layer_decay)}),')
    lines.append(
        f'    optimizer=dict(lr={_number(row.blr)} * {row.batch} / 256, weight_decay={_number(row.weight_decay)}),'
    )
    lines.append(')')
    lines.append(f'auto_scale_lr = dict(base_batch_size={row.batch})')
    if row.epochs != usual_epochs:
        lines.append('param_scheduler = dict(total=max_epochs)')
        lines.append('train_cfg = dict(max_epochs=max_epochs)')
    if folder == 'diffusion':
        if row.statistics == 'imagenet':
            lines.append("published_checkpoint = 'loss'")
            lines.append(
                "default_hooks = dict(card=dict(task='diffusion'), checkpoint=dict(max_keep_ckpts=-1))"
            )
        else:
            lines.append("default_hooks = dict(card=dict(task='diffusion'))")
    return '\n'.join(lines) + '\n'


def spoof_config(name: str, row: Spoof, benchmark: str, letter: str) -> str:
    """Text of a config of face anti-spoofing."""
    adapter = row.contrast is not None
    domain, title = DOMAINS[benchmark][letter]
    sources = [source for source, _ in DOMAINS[benchmark].values() if source != domain]
    how = f'FS-Adapter on a frozen {_model_of(name)}' if adapter else f'{_model_of(name)}, all layers'
    others = {3: 'three', 2: 'two'}[len(sources)]
    numbers = SPOOF_NUMBERS.get(name)
    if numbers:
        published = f'Published HTER {numbers[0]:.2f} %, AUC {numbers[1]:.2f} %'
    elif name.startswith('fsfm'):
        published = 'None published: FSFM has no numbers of this benchmark'
    else:
        published = f'Published number: {UNKNOWN}'
    batch = row.per_group * 2 * (len(sources) + 1)
    lines = [
        f'"""Face anti-spoofing, leave {title} out: {how}, on the other {others} of {benchmark.upper()}.',
        '',
        f'python tools/train.py configs/antispoof/{name}.py',
        f'python tools/leave_one_out.py configs/antispoof/{name[:-1]}*.py',
        f'The latter runs all targets, {len(row.seeds)} times as published. Hardware, time and result: not yet measured'
        ' here.',
        f'{published}.',
        'The published HTER has threshold and checkpoint from the target itself; this config chooses on source videos.',
        '"""',
        '',
        '_base_ = [',
        f"    '../_base_/models/{'vit_antispoof_adapter' if adapter else 'vit_antispoof'}.py',",
        "    '../_base_/datasets/antispoof.py',",
        "    '../_base_/schedules/antispoof_4000i.py',",
        "    '../_base_/antispoof_runtime.py',",
        ']',
        '',
    ]
    root = None if benchmark == 'mcio' else 'data_root'
    if benchmark != 'mcio':
        lines.append(f"data_root = 'data/{benchmark.upper()}'")
    lines += [f'sources = {sources}', f"target = '{domain}'", f'published_seeds = {row.seeds}', '']
    backbone = _fields(
        arch=None if row.arch == 'base' else repr(row.arch),
        frozen_stages=str(DEPTH[row.arch]) if adapter and DEPTH[row.arch] != 12 else None,
        init_cfg=f"dict(checkpoint='{row.weights}')",
    )
    head = _fields(
        in_channels=None if row.arch == 'base' else str(WIDTH[row.arch]),
        contrast=f'dict(loss_weight={_number(row.contrast)})' if row.contrast else None,
    )
    lines += [
        'model = dict(',
        f'    backbone=dict({backbone}),',
        *([f'    head=dict({head}),'] if head else []),
        ')',
    ]
    per_group = None if row.per_group == 12 else f'dict(per_group={row.per_group})'
    dataset = f'dict({_fields(data_root=root, domains="sources")})'
    if batch == 96:
        lines.append(f'train_dataloader = dict(dataset={dataset})')
    else:
        size = f'{row.per_group} * 2 * {len(sources) + 1},  # {row.per_group} of each (domain, class)'
        lines += ['train_dataloader = dict(', f'    batch_size={size}']
        lines += [f'    sampler={per_group},'] if per_group else []
        lines += [f'    dataset={dataset},', ')']
    lines += [
        f'val_dataloader = dict(dataset=dict({_fields(data_root=root, domains="sources")}))',
        f'test_dataloader = dict(dataset=dict({_fields(data_root=root, domains="[target]")}))',
        f'optim_wrapper = dict(optimizer=dict(lr={_number(row.lr)}, weight_decay={_number(row.weight_decay)}))',
    ]
    return '\n'.join(lines) + '\n'


def metafile(folder: str, data: str) -> str:
    """Text of a folder's model index: all of its configs but the demos and one's own."""
    collection = '    In Collection: FSFM\n'
    names = sorted(path.stem for path in (CONFIGS / folder).glob('fs*.py'))
    return 'Models:\n' + ''.join(
        f'  - Name: {name}\n{collection}    Config: configs/{folder}/{name}.py\n'
        f"    Metadata: {{Training Data: '{data if 'wcs' not in name else data.replace('MCIO', 'WCS')}'}}\n"
        '    Results: null\n'
        for name in names
    )


def written() -> dict[Path, str]:
    """Path -> text of every config that the tables make."""
    texts = {}
    for folder, rows in (('deepfake', DEEPFAKE), ('diffusion', DIFFUSION)):
        texts.update(
            {CONFIGS / folder / f'{name}.py': forgery_config(folder, name, row) for name, row in rows.items()}
        )
    for name, (row, benchmark, letter) in spoof_configs().items():
        texts[CONFIGS / 'antispoof' / f'{name}.py'] = spoof_config(name, row, benchmark, letter)
    return texts


def metafiles() -> dict[Path, str]:
    """Path -> text of the model indices, once the configs are there."""
    data = {
        'deepfake': 'FaceForensics++ c23',
        'diffusion': 'FaceForensics++ DeepFakes c23',
        'antispoof': 'MCIO and CelebA-Spoof',
    }
    return {CONFIGS / folder / 'metafile.yml': metafile(folder, what) for folder, what in data.items()}


if __name__ == '__main__':
    for made in (written, metafiles):
        for path, text in made().items():
            path.write_text(text, encoding='utf-8')
            print(path)
