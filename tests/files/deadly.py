"""Tasks and files that kill the process that works on them; worker processes import this by name."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np

from fsfm_mm.doctor.scanning import Opened
from fsfm_mm.files.stopping import StoppedError


class Deadly(os.PathLike):
    """A path that no worker survives."""

    def __fspath__(self):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return '/photos/deadly.png'


def doubles(mode, number):
    """Begins a process: a task is a list of numbers, and what is to happen is told by negative ones."""
    if mode == 'no start':
        os._exit(3)
    return double


def double(task, attempt):
    done = []
    for position, value in enumerate(task):
        if position in attempt.skip:
            done.append(attempt.skip[position])
            continue
        attempt.tell(() if value == -3 else (0, 1) if value == -4 else (position,), value)
        if value == -1 or value == -4:
            os.kill(os.getpid(), signal.SIGKILL)
        if value == -2:
            raise StoppedError('the disk is gone')
        if value == -3:
            os._exit(5)
        if value == -5:
            time.sleep(600)
        if value == -6:
            raise RuntimeError('a mistake')
        done.append(2 * value)
    return done


class Photos:
    """Samples for the doctor, one of them deadly."""

    unit = 'pixels'

    def __init__(self, count, deadly):
        self.names = [f'{i}.png' for i in range(count)]
        self.deadly = deadly

    def read(self, index):
        if index == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return Opened(np.full((8, 8, 3), index, np.uint8))


class Killer(threading.Thread):
    """Kills the first worker process that it sees, like a machine that is short of memory."""

    def __init__(self):
        super().__init__(daemon=True)
        self.killed = 0

    def run(self):
        deadline = time.monotonic() + 60
        while not self.killed and time.monotonic() < deadline:
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                self.killed = process.pid
                break
            time.sleep(0.001)
