"""Interrupts wait until what must be whole is whole."""

import signal
import threading

import pytest

from fsfm_mm.files.stopping import uninterrupted


def test_an_interrupt_comes_when_the_body_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append('whole')
    assert done == ['whole']
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_set_no_handlers():
    def body():
        with uninterrupted():
            found.append(signal.getsignal(signal.SIGINT))

    found = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
