"""The lab of forked runs, which imports everything once for all tests of a process."""

import pytest
from kill_lab import Lab


@pytest.fixture(scope='session')
def lab():
    """See :class:`kill_lab.Lab`."""
    lab = Lab()
    yield lab
    lab.close()
