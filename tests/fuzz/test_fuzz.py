"""Damaged files are refused in one sentence that names them: some of each reader always, as many as a minute allows in
the slow suite, and any number with ``python tests/fuzz/fuzz.py --cases N``."""

import pytest
from fuzz import fuzz, fuzz_here, table
from fuzz_readers import READERS


@pytest.mark.parametrize('name', READERS)
def test_some_of_each_reader(name, recwarn):
    assert fuzz_here(name, range(25)).offences == []


@pytest.mark.slow
def test_as_many_as_a_minute_allows():
    found = fuzz(list(READERS), 100_000, seed=3, seconds=60)
    print(table(found))
    assert [offence for one in found.values() for offence in one.offences] == []
    assert all(one.counts.total() for one in found.values())
