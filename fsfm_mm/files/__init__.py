"""Files on disk and from the network: written whole or not at all, downloaded once and checked."""

from fsfm_mm.files.download import download, sha256_of, weights_file
from fsfm_mm.files.writing import replacing, write_atomically

__all__ = ['download', 'replacing', 'sha256_of', 'weights_file', 'write_atomically']
