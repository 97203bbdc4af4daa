import logging
import uuid

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def warnings_of(caplog):
    """Warnings that go through mmengine's current logger, which does not propagate by itself."""
    logger = MMLogger.get_instance(f'test-{uuid.uuid4()}')
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)
