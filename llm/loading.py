"""Load a causal language model of transformers from a checked folder, in the type asked for."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from llm.model_files import first_line
from llm.student import Quantization


def select_device() -> str:
    """Return the device that models run on where none is asked for: a GPU, else the processor."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def translate_errors(name: str, task: str = "be loaded", remedy: str = "check its files") -> Iterator[None]:
    """Turn what transformers, peft, bitsandbytes and torch raise into one line."""
    try:
        yield
    except StudentError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds, bare ones among them
        raise StudentError(f"{name}: cannot {task} ({first_line(error)}); {remedy}") from error


@contextmanager
def quiet_deprecations() -> Iterator[None]:
    """Hide transformers' warning about a property that peft and TRL read by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _require_complete(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse weights with holes, which transformers would fill at random."""
    for kind in ("missing_keys", "mismatched_keys"):
        if found := report.get(kind):
            what = f"{len(found)} weights are {kind.removesuffix('_keys')}, {min(map(str, found))} first"
            raise StudentError(f"{folder}: {what}; fetch the model again")


def load_model(folder: Path, adapter: Path | None, quantization: Quantization) -> Any:
    """Return the model in a folder with its adapter, ready to answer.

    Raises:
        StudentError: For weights with holes.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would write into our own progress
    device = select_device()
    on_gpu = device == "cuda"
    compute = torch.bfloat16 if on_gpu else torch.float32
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        device_map=device,
        dtype=compute,
        quantization_config=nf4 if quantization is Quantization.NF4 else None,
        output_loading_info=True,
    )
    model, report = loaded  # with its loading info, transformers gives a pair
    _require_complete(folder, report)
    # What `generate` is not given, it takes from here: only the special tokens are the model's own.
    own = model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
    )
    if adapter is not None:
        from peft import PeftModel

        with quiet_deprecations():
            model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return model.eval()
