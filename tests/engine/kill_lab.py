"""Runs tools/train.py and other programs again and again in forked processes, and kills them at chosen places.

Run as a script it reads jobs from standard input, one JSON object a line, and answers each with the exit codes
of its processes. Importing the package once for all jobs is what makes many kills affordable.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]


class Lab:
    """The tests' side of the script."""

    def __init__(self):
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}',
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def train(self, config, work_dir, *arguments, at=None, processes=1):
        """Run tools/train.py on a config.

        Args:
            config: File.
            work_dir: Folder; what is printed goes to ``<work_dir>.log``.
            arguments: More of the command line.
            at: Where what happens: 'KILL before_train_iter 7' (a signal, and a hook's name with the iteration,
                in process 0), 'TERM+ before_train_iter 7' (to its data workers, too), or
                'KILL write 2', 'KILL replace 2', 'KILL pointer 2', 'FULL write 2' for the
                second checkpoint written.
            processes: Joined over gloo; all are killed when one was, as torchrun does.

        Returns:
            Exit codes, negative for signals; a number for a single process.
        """
        command = [str(config), '--work-dir', str(work_dir), *arguments]
        codes = self.run('train.py', command, f'{work_dir}.log', processes, at)
        return codes if processes > 1 else codes[0]

    def run(self, program, command, log, processes=1, at=None, environments=None):
        """Run a program, each process with an environment of its own.

        Args:
            program: 'train.py', or the path of a module that has ``main(command)``.
            command: Its arguments.
            log: File that takes what is printed.
            processes: How many.
            at: As in :meth:`train`.
            environments: Variables of each process; None for those of torchrun, where there are several.

        Returns:
            Exit codes, negative for signals.
        """
        job = dict(
            program=str(program), command=[*map(str, command)], log=str(log), processes=processes, at=at
        )
        self.process.stdin.write(json.dumps({**job, 'environments': environments}) + '\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        # said, not left to the end of the pipe: a process that a test has forked may still hold that open
        self.process.stdin.write('null\n')
        self.process.stdin.close()
        self.process.wait(timeout=60)


def _arrange(place):
    """Let the thing happen in this process."""
    from mmengine.runner import Runner

    what, where, number = place.split()
    number = int(number)

    def strike():
        if what.endswith('+'):  # from outside, as a scheduler does
            command = ['kill', f'-{what[:-1]}', '--', f'-{os.getpgrp()}']
            subprocess.run(command, check=True, start_new_session=True)
        else:
            os.kill(os.getpid(), getattr(signal, f'SIG{what}'))

    call_hook, replace, write_bytes, seen = Runner.call_hook, os.replace, Path.write_bytes, [0]

    def watched_call_hook(runner, fn_name, **kwargs):
        hit = fn_name == where and runner.iter == number
        if hit and where.startswith('before'):
            strike()
        call_hook(runner, fn_name, **kwargs)
        if hit and where.startswith('after'):
            strike()

    def watched_replace(source, target):
        if Path(target).suffix == '.pth':
            seen[0] += 1
            if where == 'replace' and seen[0] == number:
                strike()
        if where == 'pointer' and Path(target).name == 'last_checkpoint' and seen[0] == number:
            strike()
        replace(source, target)

    def watched_write(path, data):
        if where == 'write' and '.pth.' in path.name and seen[0] == number - 1:
            write_bytes(path, data[: len(data) // 2])
            if what == 'FULL':
                raise OSError(28, 'No space left on device', str(path))
            strike()
        return write_bytes(path, data)

    Runner.call_hook, os.replace, Path.write_bytes = watched_call_hook, watched_replace, watched_write


def _child(job, rank, port):
    log = os.open(job['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.setpgid(0, 0)
    command = job['command']
    if job['environments']:
        os.environ.update(job['environments'][rank])
    elif job['processes'] > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job['processes']))
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        command = [*command, '--launcher', 'pytorch'] if job['program'] == 'train.py' else command
    if job['at'] and rank == 0:
        _arrange(job['at'])
    if job['program'] != 'train.py':
        program = Path(job['program'])
        sys.path.insert(0, str(program.parent))
        importlib.import_module(program.stem).main(command)
        sys.exit(0)
    from fsfm_mm.commands import run

    sys.exit(run('train', command, prog='python tools/train.py'))


def _fork(job, rank, port):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _child(job, rank, port)
        code = 0
    except SystemExit as done:
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
        code = done.code if isinstance(done.code, int) else 1
    except BaseException:
        __import__('traceback').print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve():
    import torch

    import fsfm_mm.components  # noqa: F401  (once, for all children)

    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        if job is None:
            return
        port = free_port()
        waiting = {_fork(job, rank, port): rank for rank in range(job['processes'])}
        codes = {}
        while waiting:
            pid, status = os.wait()
            rank = waiting.pop(pid, None)
            if rank is None:
                continue
            codes[rank] = os.waitstatus_to_exitcode(status)
            for other in waiting if codes[rank] < 0 else ():
                os.kill(other, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # data workers of a killed process
        print(json.dumps([codes[rank] for rank in sorted(codes)]), flush=True)


if __name__ == '__main__':
    _serve()
