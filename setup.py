"""What `pyproject.toml` cannot say: the wheel carries `experiments/` as files of the package
`whosehand`.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["core*", "search*", "whosehand*"]), "whosehand.experiments"],
    package_dir={"whosehand.experiments": "experiments"},
)
