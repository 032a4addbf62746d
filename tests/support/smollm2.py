"""SmolLM2-135M-Instruct for tests, where `make smollm2` was run."""

import pytest

from llm.model_files import smollm2_folder

needs_smollm2 = pytest.mark.skipif(not smollm2_folder().is_dir(), reason="needs the model of make smollm2")
