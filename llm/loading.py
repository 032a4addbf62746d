"""Load a causal language model of transformers from a checked folder, in the type asked for."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

from engine.errors import ClosecallError, StudentError, UsageError
from llm.memory import DTYPE_BYTES, empty_model, measure, require_memory
from llm.model_files import first_line, load_config
from llm.student import Quantization, StudentSettings


def select_device(wanted: str | None = None) -> str:
    """Return the device that models run on: the one asked for, else a GPU where there is one.

    Raises:
        UsageError: For a device that is not here.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted is None:
        return "cuda" if gpus else "cpu"
    present = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if wanted not in present:
        raise UsageError(f"--device {wanted}: there is no such device here; use {' or '.join(present)}")
    return wanted


def select_dtype(wanted: str | None, device: str) -> str:
    """Return the type that a model computes in: the one asked for, else what suits the device.

    Raises:
        UsageError: For a type that is not known.
    """
    if wanted is None:
        return "bfloat16" if device.startswith("cuda") else "float32"
    if wanted not in DTYPE_BYTES:
        raise UsageError(f"--dtype {wanted}: no such type; use {', '.join(DTYPE_BYTES)}")
    return wanted


def describe_arithmetic(wanted: StudentSettings) -> list[str]:
    """Return the words for what decides an answer's digits beside its weights: device, type and layout."""
    device = select_device(wanted.device)
    dtype = select_dtype(wanted.dtype, device)
    words = [device]
    if dtype != select_dtype(None, device):
        words.append(dtype)
    if wanted.quantization is not Quantization.NONE:
        words.append("embeddings in bfloat16")  # in float32 before, which gave other answers
    return words


@contextmanager
def translate_errors(name: str, task: str = "be loaded", remedy: str = "check its files") -> Iterator[None]:
    """Turn what transformers, peft, bitsandbytes and torch raise into one line."""
    try:
        yield
    except ClosecallError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds, bare ones among them
        if _is_out_of_memory(error):
            task, remedy = f"{task}: too little memory", "use --quantization nf4, or a smaller model or batch"
        raise StudentError(f"{name}: cannot {task} ({first_line(error)}); {remedy}") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was short: torch says so of the processor's in a plain RuntimeError."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "not enough memory" in str(error) or "can't allocate memory" in str(error)


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


def load_model(
    path: Path,
    adapter: Path | None,
    quantization: Quantization,
    *,
    device: str | None = None,
    dtype: str | None = None,
) -> Any:
    """Return the model in a folder or GGUF file with its adapter, ready to answer.

    Args:
        path: The model's folder, or its GGUF file, checked.
        adapter: The folder of a peft adapter, checked.
        quantization: How the weights are held in memory.
        device: As of `select_device`.
        dtype: As of `select_dtype`: what the model computes in.

    Raises:
        StudentError: For weights with holes, an adapter for another model, and too little memory.
    """
    from transformers import GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would write into our own progress
    device = select_device(device)
    dtype = select_dtype(dtype, device)
    if path.is_file() and quantization is not Quantization.NONE:
        raise StudentError(
            f"{path}: a GGUF file is loaded unquantized; leave --quantization out, or use the model's folder "
            "of safetensors"
        )
    config = load_config(path)  # once: of a GGUF file it takes seconds
    empty = empty_model(config)
    require_memory(measure(empty), quantization, dtype, path=path, device=device)
    if adapter is not None:
        _require_fitting(adapter, empty)
    model = _load_weights(path, config, quantization, device, dtype)
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


def _load_weights(path: Path, config: Any, quantization: Quantization, device: str, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from llm.quantization import compute_in, quantize_int8

    compute: torch.dtype = getattr(torch, dtype)
    plain = quantization is Quantization.NONE
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    with (
        redirect_stderr(io.StringIO()) if path.is_file() else nullcontext()
    ):  # progress that heeds no setting
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path if path.is_dir() else path.parent,
            config=config,
            gguf_file=path.name if path.is_file() else None,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            device_map=device,
            dtype=compute if plain else torch.bfloat16,
            quantization_config=nf4 if quantization is Quantization.NF4 else None,
            output_loading_info=True,
        )
    model, report = loaded  # with its loading info, transformers gives a pair
    _require_complete(path, report)
    if path.is_file():
        # Its weights are plain now; what marks it as quantized would keep it from training and saving.
        model.hf_quantizer.remove_quantization_config(model)
    if quantization is Quantization.INT8:
        quantize_int8(model, compute)
    if not plain and compute is not torch.bfloat16:
        compute_in(model, compute)
    return model


def _require_fitting(adapter: Path, model: Any) -> None:
    """Refuse an adapter whose shapes are not those of the model's layers."""
    import torch
    from safetensors import safe_open
    from transformers.pytorch_utils import Conv1D

    shapes = {
        name: tuple(module.weight.shape)[:: -1 if isinstance(module, Conv1D) else 1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
    }
    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as file:
        for key in file.keys():  # noqa: SIM118  # no dictionary
            name, _, part = key.removeprefix("base_model.model.").partition(".lora_")
            if part not in ("A.weight", "B.weight"):
                continue
            size = file.get_slice(key).get_shape()[1 if part == "A.weight" else 0]
            here = shapes.get(name, (0, 0))[1 if part == "A.weight" else 0]
            if size != here:
                raise StudentError(
                    f"{adapter}: an adapter for another model ({name} has width {size:,} there and "
                    f"{here:,} here); name the model that it was trained on"
                )
