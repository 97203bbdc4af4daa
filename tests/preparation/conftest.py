"""MediaPipe's networks for tests: fetched through pip as users do, or a reason to skip."""

import pytest

from fsfm_mm.preparation.mediapipe import WHEEL


@pytest.fixture(scope='session')
def fetched_networks(tmp_path_factory):
    """A cache that was empty before pip filled it; skips where pip reaches no package index."""
    folder = tmp_path_factory.mktemp('mediapipe')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FSFM_MM_CACHE', str(folder))
        try:
            WHEEL.read('face_landmark.tflite', None, '--parser-weights')
        except ConnectionError as error:
            pytest.skip(f'the networks of MediaPipe cannot be fetched here: {error}')
    return folder


@pytest.fixture
def networks(fetched_networks, monkeypatch):
    """The cache with the networks is the cache of this test."""
    monkeypatch.setenv('FSFM_MM_CACHE', str(fetched_networks))
    return fetched_networks
