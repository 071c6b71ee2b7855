"""The packages of this source tree, built once a run and kept by what they are made of."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("agent", "alerts", "collectors", "configs", "server")
FILES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "CHANGELOG.md")
