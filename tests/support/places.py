"""Where the checkout and the shared test data lie."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"
SHARED_CASES = ROOT.parent / "shared" / "cases"
needs_shared_data = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real data of ../shared")
needs_shared_cases = pytest.mark.skipif(not SHARED_CASES.is_dir(), reason="needs the inputs of ../shared")
