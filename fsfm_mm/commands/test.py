"""Test a classifier on one or several test sets: one table, scores per sample and video, pictures."""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsfm_mm.apis.results import results_folder, set_earlier_aside, write_result
from fsfm_mm.commands.arguments import (
    CommandParser,
    add_short_options,
    end,
    need_files,
    short_name,
    short_options,
)
from fsfm_mm.commands.output import say
from fsfm_mm.engine.device import choose_device
from fsfm_mm.files.writing import check_file, check_folder, refuse_existing
from fsfm_mm.settings.config_files import find_config
from fsfm_mm.settings.explaining import tell_setting
from fsfm_mm.settings.options import TEST_OPTIONS
from fsfm_mm.settings.reading import need, read_config
from fsfm_mm.settings.values import SettingsAction

if TYPE_CHECKING:
    from mmengine.config import Config

    from fsfm_mm.apis.protocols import Evaluation, ProtocolResult

PROTOCOLS = ('published', 'honest')
EPILOG = """\
test sets: those of the config (test_dataloader, and test_sets = dict(NAME=<data set config>)), and --set; with --sets
only those that it names, of these and of the config's named_sets.
held-out source data: the config's val_dataloader.

examples:
  %(prog)s configs/deepfake/demo_generated.py work_dirs/demo_generated/epoch_20.pth
  %(prog)s CONFIG work_dirs/run/epoch_*.pth --protocol both --out work_dirs/run/chosen
  %(prog)s CONFIG best.pth --set "my set=data/my_set" --set DFDC=dfdc:data/dfdc
  %(prog)s CONFIG best.pth --sets dfd_raw dfd_c23 celebdf_pp celebdf_pp_noyt
  %(prog)s CONFIG best.pth --calibrate best_calibrated.pth

A folder given with --set holds test/<class>*/... pictures, as the training sets do; with KIND: it has the layout of
that published set (dfdc, celebdf_v2, dfd_raw, wilddeepfake, ...; docs/downstream_data.md), or is what
prepare-deepfake made of it.
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm test') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('config', help='config file of the classifier, or the name of one of ours')
    parser.add_argument(
        'checkpoints',
        nargs='+',
        help='checkpoint, or several for the protocol to choose among; a work directory is its last whole one',
    )
    parser.add_argument(
        '--protocol',
        choices=[*PROTOCOLS, 'both'],
        default='both',
        help='honest: checkpoint and threshold from held-out source data only; published: as the papers chose, '
        'marked where the test set itself was used [both; published without a val_dataloader]',
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='NAME=[KIND:]FOLDER', help='one more test set'
    )
    parser.add_argument(
        '--sets',
        nargs='+',
        default=[],
        metavar='NAME',
        help="which of the config's sets; published: those of the published numbers [test_dataloader, test_sets]",
    )
    parser.add_argument(
        '--only-sets', action='store_true', help="test on --set folders only, not the config's sets"
    )
    parser.add_argument(
        '--view',
        choices=['whole', 'centre'],
        help='what of a crop the test sets show: whole (FS-VFM), or its centre, 12.5%% tighter (FSFM) '
        '[as the config says]',
    )
    parser.add_argument(
        '--out', help="folder of the results [test/<checkpoint's name>/ beside the checkpoint]"
    )
    parser.add_argument(
        '--bootstrap', type=int, default=1000, help='resamples of the intervals; 0 for none [1000]'
    )
    parser.add_argument(
        '--amp', choices=['float32', 'bfloat16', 'auto'], default='float32', help='precision [float32]'
    )
    parser.add_argument(
        '--calibrate', metavar='FILE', help='save the honest checkpoint with its threshold in the card'
    )
    parser.add_argument(
        '--fpr',
        type=float,
        metavar='RATE',
        help='threshold of the honest protocol: flags at most this share of the held-out reals [where false alarms and '
        'misses are equal]',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace the FILE of --calibrate')
    parser.add_argument(
        '--trust', action='store_true', help='allow the checkpoint file to run code (dangerous)'
    )
    parser.add_argument(
        '--override-card',
        action='store_true',
        help='let settings that you typed, and crops of the test sets, contradict the card of the checkpoint; every '
        'table then says so',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE', help='change settings'
    )
    add_short_options(parser, TEST_OPTIONS)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def first_pipeline(dataset: dict) -> list:
    """Pipeline of a data set's config, or of the first that it concatenates."""
    return dataset['pipeline'] if 'pipeline' in dataset else first_pipeline(dataset['datasets'][0])


def named_folder(item: str) -> tuple[str, str | None, str]:
    """Name, kind and folder of a ``--set``.

    Raises:
        ValueError: It is no NAME=FOLDER or NAME=KIND:FOLDER, or the folder does not exist.
    """
    from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS

    name, equals, folder = item.partition('=')
    kind, colon, rest = folder.partition(':')
    is_kind = bool(colon) and kind in PUBLISHED_SETS
    folder = rest if is_kind else folder
    if not equals:
        raise ValueError(f'--set takes NAME=FOLDER or NAME=KIND:FOLDER, found {item!r}')
    if not Path(folder).is_dir():
        raise ValueError(f'--set {name}: there is no folder {folder}')
    return name, kind if is_kind else None, folder


def sets_of_config(cfg: Config, names: Sequence[str]) -> dict[str, Any]:
    """The config's test sets, or those of ``names`` among them and its ``named_sets``.

    Raises:
        ValueError: A name is none of them.
    """
    dataset = cfg.test_dataloader.dataset
    domains = ', '.join(dataset.get('domains', []))
    own = {
        dataset.get('domain') or domains or dataset.get('name') or 'test': dataset,
        **cfg.get('test_sets', {}),
    }
    if not names:
        return own
    pipeline = first_pipeline(dataset)
    known = {
        **{
            name: {'domain': name, 'pipeline': pipeline, **part}
            for name, part in cfg.get('named_sets', {}).items()
        },
        **own,
    }
    chosen = [
        one for name in names for one in (cfg.get('published_on', []) if name == 'published' else [name])
    ]
    unknown = sorted({name for name in chosen if name not in known})
    if unknown or not chosen:
        raise ValueError(
            f'--sets {" ".join(unknown or names)}: the config has no such set; it has {", ".join(known)}'
        )
    return {name: known[name] for name in chosen}


def test_sets(cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Name to data set config, of the config and of --set.

    Raises:
        ValueError: A set does not exist, or its folder was prepared of another published set.
    """
    from fsfm_mm.datasets.base import roots_of
    from fsfm_mm.datasets.labelled.crops import check_prepared_of, prepared_part

    sets = {} if args.only_sets else sets_of_config(cfg, args.sets)
    for name, dataset in sets.items():
        if dataset.get('type') == 'LabelledFaces':
            check_prepared_of(name, roots_of(dataset['data_root']), f'test set {name!r}')
    for item in args.set:
        name, kind, folder = named_folder(item)
        pipeline = first_pipeline(cfg.test_dataloader.dataset)
        if not any(step['type'] == 'LoadFace' for step in pipeline):
            size = cfg.model.backbone.img_size
            pipeline = [dict(type='LoadFace'), dict(type='ResizeFace', size=size), *pipeline]
        sets[name] = dict(data_root=folder, split='test', domain=name, pipeline=pipeline)
        part = prepared_part(kind, folder, f'--set {name}') if kind else dict(type='LabelledFaces')
        sets[name].update(part or dict(type='NamedForgerySet', name=kind))
    if args.view:
        from fsfm_mm.checkpoints.picture_settings import set_view

        sets = copy.deepcopy(sets)  # the held-out source may have the same pipeline
        for name, dataset in sets.items():
            set_view(dataset, args.view, f'--view: test set {name!r}')
    return sets


def check(args: argparse.Namespace) -> None:
    """Raise a ValueError where a config, checkpoint or set does not exist, or results cannot be written."""
    find_config(args.config)
    need_files(path for path in args.checkpoints if not Path(path).is_dir())
    for item in args.set:
        named_folder(item)
    if args.only_sets and args.sets:
        raise ValueError(
            "--only-sets leaves the config's sets out, and --sets names some of them: give one of them"
        )
    if args.only_sets and not args.set:
        raise ValueError('there is no test set: --only-sets needs --set NAME=FOLDER')
    if args.fpr is not None and not 0 < args.fpr < 1:
        raise ValueError(f'--fpr must be a share between 0 and 1, found {args.fpr}')
    if args.calibrate and not args.overwrite:
        refuse_existing(args.calibrate, '--calibrate')
    check_folder(out_folder(args), 'the folder of the results')  # now: the scores of hours would be lost
    if args.calibrate:
        check_file(args.calibrate, '--calibrate')


def out_folder(args: argparse.Namespace) -> Path:
    """Where the results go; raises a ValueError where that is left open."""
    return Path(args.out) if args.out else results_folder(args.checkpoints)


def prepare(args: argparse.Namespace) -> tuple[Evaluation, list[str]]:
    """Everything up to the first picture; raises a ValueError for what the user can mend."""
    from mmengine.registry import init_default_scope

    from fsfm_mm.apis.protocols import Evaluation
    from fsfm_mm.apis.testing import check_view, fit_dataset, load_classifier, score_set
    from fsfm_mm.checkpoints.picture_settings import picture_view, set_view
    from fsfm_mm.engine.launch import start_processes
    from fsfm_mm.files.checkpoint_folders import checkpoint_file

    args.checkpoints = [str(checkpoint_file(path)) for path in args.checkpoints]
    cfg = read_config(args.config, args.cfg_options, short_options(args), 'test')
    need(cfg, 'model', 'test_dataloader', 'test_evaluator')
    cfg.launcher = args.launcher
    start_processes(cfg)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    sets = test_sets(cfg, args)
    source = 'held-out source' if cfg.get('val_dataloader') else None
    datasets = {**sets, **({source: cfg.val_dataloader.dataset} if source else {})}
    published_source = None
    view = picture_view(next(iter(sets.values())))
    if source and view and picture_view(datasets[source]) not in (view, None):
        # the published runs chose in a view of their own; a threshold has to hold in that of the tests
        published_source = f'{source}, as published'
        datasets[published_source] = datasets[source]
        datasets[source] = copy.deepcopy(datasets[source])
        set_view(datasets[source], view, 'held-out source')
    # where the published runs chose a checkpoint on another part of the target domain than its test set
    chosen_on = {name: f'{name}, validation part' for name in cfg.get('published_sets', {})}
    datasets.update({chosen_on[name]: dataset for name, dataset in cfg.get('published_sets', {}).items()})
    models: dict[str, Any] = {}
    typed_sets = {item.partition('=')[0] for item in args.set}
    overridden: list[str] = []

    def score(checkpoint: str, name: str):
        if checkpoint not in models:
            models.clear()  # one model in memory at a time
            loaded = models[checkpoint] = load_classifier(cfg, checkpoint, args.trust, args.override_card)
            overridden.extend(loaded.agreement.overridden)
        loaded = models[checkpoint]
        loader = {**cfg.test_dataloader, 'persistent_workers': False}
        dataset = fit_dataset(datasets[name], loaded.card, takes_classes=name in typed_sets)
        notes = overridden if args.override_card else None
        if name in sets:  # validation has a view of its own
            overridden.extend(check_view(loaded.card, dataset, name, args.override_card))
        return score_set(
            loaded.model, dataset, loader, cfg.test_evaluator, name, args.amp, loaded.card, notes
        )

    evaluation = Evaluation(
        args.checkpoints,
        list(sets),
        source,
        score,
        cfg.test_evaluator,
        target_criterion=cfg.get('published_checkpoint'),
        target_ties=cfg.get('published_ties', 'first'),
        chosen_on=chosen_on,
        num_resamples=args.bootstrap,
        overridden=overridden,
        published_source=published_source,
        rate=args.fpr,
    )
    protocols = list(PROTOCOLS) if args.protocol == 'both' else [args.protocol]
    if args.protocol == 'both' and source is None:
        protocols = ['published']
    return evaluation, protocols


def calibrate(result: ProtocolResult, target: str, trust: bool) -> None:
    """Save the chosen checkpoint with the frozen threshold in its card."""
    from fsfm_mm.checkpoints import load_checkpoint_file, save_checkpoint_file

    checkpoint = next(iter(result.checkpoints.values()))
    content = load_checkpoint_file(checkpoint, trust=trust)
    found = {'threshold': result.threshold, 'threshold_meaning': result.meaning}
    save_checkpoint_file({**content, 'card': {**(content.get('card') or {}), **found}}, target)
    say(f'threshold {result.threshold:.4f} is in the card of {target}: {result.meaning}')


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm test') -> int:
    """Test, print and write; returns the exit code."""
    args, name = parse_args(argv, prog), short_name(prog)
    try:
        check(args)
        choose_device(args.device)
    except ValueError as error:
        end(name, error)

    import fsfm_mm.components  # noqa: F401, I001  (first: filters import noise)
    from mmengine.dist import is_main_process

    from fsfm_mm.engine.launch import leave_processes

    try:
        evaluation, protocols = prepare(args)
        option = '--calibrate' if args.calibrate else '--fpr' if args.fpr else None
        if option and 'honest' not in protocols:
            raise ValueError(f'{option} needs the honest protocol and a held-out source set (val_dataloader)')
        results = {protocol: evaluation.run(protocol) for protocol in protocols}
    except Exception as error:  # wrong arguments, settings, weights or data; nothing was written
        sys.exit(f'{name}: {tell_setting(error, name=name)}')
    is_writer = is_main_process()
    leave_processes()
    if not is_writer:
        return 0
    folder = out_folder(args)
    for protocol, result in results.items():
        print(result.report.to_text())  # first: it took hours, and the writing may fail
        said = set_earlier_aside(folder, protocol, result)
        write_result(result, protocol, folder)
        if said:
            say(said)
    if args.calibrate:
        calibrate(results['honest'], args.calibrate, args.trust)
    for protocol in PROTOCOLS:
        if args.protocol not in ('both', protocol):
            print(f'the {protocol} protocol was left out: --protocol {args.protocol}')
    say(f'every metric, scores of each sample and video, and pictures are in {folder}')
    return 0
