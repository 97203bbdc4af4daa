"""Installation of fsfm_mm; versions that were run together are in requirements/lock.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The version string, read without importing the package (that would need its dependencies)."""
    namespace: dict = {}
    exec((HERE / 'fsfm_mm' / 'version.py').read_text(encoding='utf-8'), namespace)
    return namespace['__version__']


def requirements(name: str) -> list[str]:
    """Requirement lines of ``requirements/<name>.txt`` without comments."""
    lines = (HERE / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


setup(
    name='fsfm-mm',
    version=version(),
    description='Face-security foundation models (FSFM, FS-VFM) on the OpenMMLab stack',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['fsfm_mm', 'fsfm_mm.*']),
    # .mim: where OpenMMLab's tools look for configs, tools and models of a package; links in the repository
    package_data={
        'fsfm_mm': [
            'checkpoints/zoo.json',
            'visualization/templates/*',
            '.mim/model-index.yml',
            *(
                f'.mim/{folder}/**/*.{kind}'
                for folder in ('configs', 'tools')
                for kind in ('py', 'sh', 'yml')
            ),
        ]
    },
    entry_points={'console_scripts': ['fsfm-mm=fsfm_mm.commands:main']},
    install_requires=requirements('runtime'),
    extras_require={
        'dev': requirements('dev'),
        'dlib': ['dlib-bin>=19.24'],  # a detector: dlib as wheels
        'hdf5': ['h5py>=3.10'],  # WMCA's files
        'heif': ['pillow-heif>=1.0'],  # HEIC, the pictures of phones
        'mlflow': ['mlflow>=3.17'],  # a logger
        'onnx': ['onnxruntime>=1.20'],  # parsers in ONNX files
        'ray': ['ray[data]>=2.40'],  # preparation on several machines
        'video': ['av>=17.1'],  # a second reader of videos
        'wandb': ['wandb>=0.31'],  # a logger
    },
)
