"""Train any config: pretraining or fine-tuning, on CPU or GPU, in one process or many."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsfm_mm.commands.arguments import CommandParser, add_short_options, end, short_name, short_options
from fsfm_mm.engine.device import choose_device
from fsfm_mm.settings.config_files import find_config
from fsfm_mm.settings.reading import need, read_config, typed_settings
from fsfm_mm.settings.values import SettingsAction

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

EPILOG = """\
examples:
  %(prog)s configs/fsfm/fsfm_demo.py                    # or by name, from anywhere: fsfm_demo
  %(prog)s fsfm_vit-s_own-faces --data "my faces" --epochs 20 --batch-size 32 --arch tiny
  %(prog)s CONFIG --cfg-options train_dataloader.dataset.mask.type=FRPMask
  %(prog)s CONFIG --resume                 # go on from the last checkpoint in the work dir
  tools/dist_train.sh CONFIG 8                          # eight processes with torchrun
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm train') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument(
        'config',
        help='config file, e.g. configs/fsfm/fsfm_vit-b_vggface2_400e.py, or the name of one of ours',
    )
    parser.add_argument(
        '--work-dir', help='where logs, checkpoints and pictures go [work_dirs/<config name>]'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a path from the last one in the work dir, if there is one',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='begin anew where the work dir holds a run: its checkpoints, logs, pictures and tests are removed',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'bfloat16', 'float32'],
        help="precision; 'auto' (also without a value) is bfloat16 where the hardware has it",
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate linearly from the config's base batch to this run's effective batch",
    )
    parser.add_argument(
        '--override-card',
        action='store_true',
        help='let statistics or heads that you typed contradict the card of the encoder',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. model.backbone.arch=large optim_wrapper.optimizer.lr=1e-3',
    )
    add_short_options(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the command line to it.

    Raises:
        ValueError: When the config file does not exist or cannot be read, the checkpoint to resume from does not
            exist or is damaged, or an argument does not fit the config.
    """
    from fsfm_mm.checkpoints.encoder_settings import keep_statistics, settings_from_encoder
    from fsfm_mm.engine.earlier_run import check_earlier_run
    from fsfm_mm.engine.last_checkpoint import choose_checkpoint

    cfg = read_config(args.config, args.cfg_options, short_options(args))
    need(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    cfg.launcher = args.launcher
    default = cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    cfg.work_dir = args.work_dir or default
    if args.amp:
        if cfg.optim_wrapper.type != 'AutocastOptimWrapper':
            raise ValueError(
                f'--amp sets AutocastOptimWrapper.dtype, but the config uses {cfg.optim_wrapper.type}'
            )
        cfg.optim_wrapper.dtype = args.amp
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
    check_earlier_run(cfg, args.overwrite)
    if cfg.get('resume'):
        named = args.resume or cfg.get('load_from')
        choose_checkpoint(cfg, None if named == 'auto' else named)
    settings_from_encoder(cfg, typed_settings(cfg), args.override_card)
    keep_statistics(cfg)
    return cfg


def check(args: argparse.Namespace) -> None:
    """Raise a ValueError where a file of the command line is not there."""
    find_config(args.config)
    if args.resume not in (None, 'auto') and not Path(args.resume).exists():
        raise ValueError(f'--resume: there is no checkpoint {args.resume}')


def build(args: argparse.Namespace, name: str = 'fsfm-mm train') -> Runner:
    """The run of the arguments; exits with one sentence where they, the settings or the data are wrong."""
    from fsfm_mm.engine.launch import build_runner, exit_where_settings_are_wrong

    try:
        return build_runner(load_config(args))
    except Exception as error:
        exit_where_settings_are_wrong(error, name)
        raise


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm train') -> int:
    """Train.

    Returns:
        0; 75 when a signal stopped the run (start it again), 130 for Ctrl-C, 1 for other reasons.
    """
    args, name = parse_args(argv, prog), short_name(prog)
    try:
        check(args)
        choose_device(args.device)
    except ValueError as error:
        end(name, error)

    import fsfm_mm.components  # noqa: F401  (first: filters import noise)
    from fsfm_mm.engine.earlier_run import remove_earlier_run
    from fsfm_mm.engine.launch import leave_processes, train_or_explain
    from fsfm_mm.engine.saving import holding
    from fsfm_mm.engine.stopping import exiting_when_told
    from fsfm_mm.engine.third_party import load_safely
    from fsfm_mm.files.stopping import StoppedError

    load_safely()
    try:
        with exiting_when_told(name):
            runner = build(args, name)
            with holding(runner.work_dir):
                if args.overwrite:
                    remove_earlier_run(runner.work_dir, runner.log_dir)
                train_or_explain(runner, name)
        leave_processes()
    except StoppedError as stopped:
        print(f'{name}: {stopped}', file=sys.stderr)
        return stopped.exit_code
    return 0
