"""Where a model's files are and whether they are safe to load. Loads no weights.

Only safetensors and GGUF are accepted and no code that comes with a model is ever run. A name that is no
folder is taken for an id on the Hugging Face hub and fetched there: that is the one network access of this
package, and it happens only when the user names a hub id.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from importlib.resources import files
from math import isclose
from pathlib import Path
from typing import Any

from engine.errors import StudentError, UsageError, suggest
from llm.gguf_file import read_floats, read_gguf_header

TINY = "tiny"
SMOLLM2 = "smollm2"
_CHOICES = "name a model folder, a GGUF file, a hub id (owner/name)"
SETTINGS_FILE = "closecall.json"
"""Optional in a model folder: {"prompt": a template's name, "released": "YYYY-MM-DD"}."""

_SAFE_PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model"]

SAMPLING = frozenset(
    (
        *("do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p"),
        *("epsilon_cutoff", "eta_cutoff"),
    )
)
"""The settings of transformers' generation that change sampled answers only."""

_SHAPING = frozenset(
    (
        *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "min_length"),
        *("encoder_no_repeat_ngram_size", "bad_words_ids", "force_words_ids", "constraints", "stop_strings"),
        *("suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id"),
        *("sequence_bias", "num_beams", "num_beam_groups", "penalty_alpha", "dola_layers", "guidance_scale"),
        *("min_new_tokens", "exponential_decay_length_penalty", "token_healing", "watermarking_config"),
        "max_time",
    )
)
"""The settings of transformers' generation that change greedy answers too."""

_NEUTRAL: tuple[object, ...] = (None, 0, 1, "", [], {})

_CONTEXT_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")

_LONG_FACTORS = frozenset(("rope_factors_long.weight", "rope_factors_short.weight"))
"""How a GGUF file stretches positions in a way that is not read: the model would answer worse."""

_LLAMA3_FACTORS = "rope_freqs.weight"
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8_192,
}
"""What every Llama from 3.1 on has; its GGUF files hold the factors that follow from it."""


def model_folder(name: str) -> Path:
    """Return the folder or GGUF file of a student ("tiny", "smollm2", a path, a hub id), checked.

    Raises:
        StudentError: For a model that is damaged or unsafe, with a remedy.
        UsageError: For a model that is not there.
    """
    if name == TINY:
        folder = Path(str(files("llm").joinpath("tiny")))
    elif name == SMOLLM2 and not Path(name).exists():
        folder = smollm2_folder()
        if not folder.is_dir():
            raise StudentError(
                f"student {name}: not fetched yet; run make smollm2 in closecall's source folder"
            )
    elif Path(name).expanduser().exists() or not _looks_like_hub_id(name):
        folder = Path(name).expanduser()
    else:
        folder = _from_hub(name)
    _check_model(folder)
    return folder


def smollm2_folder() -> Path:
    """Return where `make smollm2` puts SmolLM2-135M-Instruct: in the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("closecall", appauthor=False) / "models" / SMOLLM2


def adapter_folder(path: Path) -> Path:
    """Return the folder of a peft adapter, checked like a model. Raises StudentError with a remedy."""
    config = _json_object(path / "adapter_config.json", "an adapter of peft")
    library = str((config.get("auto_mapping") or {}).get("parent_library", "transformers"))
    foreign = library.partition(".")[0] != "transformers" or config.get("megatron_config")
    if config.get("peft_type") != "LORA" or foreign:
        raise StudentError(
            f"{path}: not a plain LoRA adapter, and code that comes with an adapter is never run; use another"
        )
    if not (path / "adapter_model.safetensors").is_file():
        raise StudentError(
            f"{path}: no adapter_model.safetensors; save the adapter with safe_serialization (peft's default)"
        )
    _check_safetensors([path / "adapter_model.safetensors"])
    return path


def adapter_base(path: Path) -> str:
    """Return the name of the model that an adapter says it was trained on; empty where it says none."""
    config = _json_object(path / "adapter_config.json", "an adapter of peft")
    return str(config.get("base_model_name_or_path") or "")


def stated_release(folder: Path) -> date | None:
    """Return the day of release that a folder's closecall.json states; None where it states none."""
    stated = model_metadata(folder).get("released")
    if stated is None:
        return None
    try:
        return date.fromisoformat(str(stated))
    except ValueError as error:
        raise StudentError(
            f'{folder / SETTINGS_FILE}: released is {stated!r}; write it as "YYYY-MM-DD"'
        ) from error


def named_base(path: Path) -> str:
    """Return the hub id that a GGUF file says it is a copy of; empty for a folder.

    A folder's configuration may name the model that it was loaded from (`_name_or_path`), but so does that of
    every model that was trained further.
    """
    if path.is_dir():
        return ""
    values = read_gguf_header(path).values
    owner, name = (values.get(f"general.{key}") for key in ("organization", "basename"))
    return f"{owner}/{name}-{values.get('general.size_label')}-{values.get('general.finetune')}"


def latest_date(*dates: date | None) -> date | None:
    """Return the latest of some days; None, unknown, where one of them is."""
    known = [day for day in dates if day is not None]
    return max(known) if len(known) == len(dates) else None


def model_metadata(folder: Path) -> Mapping[str, Any]:
    """Return what the folder's closecall.json says; empty where there is none."""
    path = folder / SETTINGS_FILE  # beside a GGUF file there is none: it is no folder
    return _json_object(path, "the student's settings") if path.is_file() else {}


def ignored_settings(folder: Path) -> Mapping[str, Any]:
    """Return what a model's files ask of generation and do not get: a student's answers are greedy."""
    if folder.is_file():
        return {}
    path = folder / "generation_config.json"
    stated = _json_object(path if path.is_file() else folder / "config.json", "a model of transformers")
    names = _SHAPING | SAMPLING if stated.get("do_sample") is True else _SHAPING
    asked_for = {name: stated[name] for name in sorted(names & stated.keys())}
    # True equals 1, which is neutral for the others: no penalty, one beam.
    return {name: asked for name, asked in asked_for.items() if asked is True or asked not in _NEUTRAL}


def context_length(folder: Path) -> int | None:
    """Return the most tokens that a model can attend to; None where its configuration has no limit."""
    if folder.is_file():
        return read_gguf_header(folder).number("context_length")
    return _configured(folder, _CONTEXT_LENGTHS)


def vocabulary_size(folder: Path) -> int | None:
    """Return how many tokens a model knows; None where its configuration does not have the number."""
    if folder.is_file():
        return read_gguf_header(folder).vocabulary_size
    return _configured(folder, ("vocab_size",))


def _configured(folder: Path, names: Iterable[str]) -> int | None:
    config = _json_object(folder / "config.json", "a model of transformers")
    text_config = config.get("text_config")
    parts = (config, text_config if isinstance(text_config, dict) else {})
    return next((part[name] for part in parts for name in names if isinstance(part.get(name), int)), None)


def load_config(path: Path) -> Any:
    """Return the configuration of the model in a folder or a GGUF file, as transformers reads it."""
    from transformers import AutoConfig

    if path.is_dir():
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    header = read_gguf_header(path)
    if hasattr(config, "head_dim") and (width := header.number("attention.key_length")):
        config.head_dim = width  # transformers reads it for some architectures only
    if _LLAMA3_FACTORS in header.tensors:
        _scale_positions(path, config, read_floats(path, header, _LLAMA3_FACTORS))
    return config


def _scale_positions(path: Path, config: Any, factors: Sequence[float]) -> None:
    """Give a configuration the scaling of positions that a GGUF file states as one factor per frequency.

    Raises:
        StudentError: For factors that are not those of Llama 3.
    """
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    theta = config.rope_parameters["rope_theta"]
    config.rope_parameters = {"rope_theta": theta, "factor": max(factors, default=1.0), **_LLAMA3_ROPE}
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = [theta ** (-step / len(scaled)) for step in range(len(scaled))]
    expected = [factor * frequency for factor, frequency in zip(factors, scaled.tolist(), strict=False)]
    if len(factors) != len(scaled) or not all(map(partial(isclose, rel_tol=1e-3), expected, plain)):
        raise StudentError(
            f"{path}: its scaling of positions is not that of Llama 3, and no other is read from GGUF files; "
            "use the model's folder of safetensors"
        )


def first_line(error: Exception) -> str:
    """Return the first line of what a library raised, printable, of 200 characters at most."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(char if char.isprintable() else " " for char in lines[0])[:200]


def fingerprint(paths: Iterable[Path], *more: str) -> str:
    """Return the SHA-256 over the names and bytes of files, or those in folders, and over further words."""
    total = hashlib.sha256()
    for folder in paths:
        for path in sorted(folder.iterdir()) if folder.is_dir() else (folder,):
            if path.suffix in (".safetensors", ".json", ".jinja", ".txt", ".model", ".gguf"):
                total.update(f"{path.name}\n".encode())
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
    for word in more:
        total.update(f"\n{word}".encode())
    return total.hexdigest()


def _looks_like_hub_id(name: str) -> bool:
    parts = name.split("/")
    return (
        len(parts) == 2 and all(parts) and not name.startswith((".", "~", "/")) and not name.endswith(".gguf")
    )


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        return Path(snapshot_download(name, allow_patterns=_SAFE_PATTERNS))
    except Exception as error:  # the hub client raises errors of several libraries
        remedy = "check the name and the network"
        if isinstance(error, GatedRepoError):
            remedy = "accept its terms there and log in with hf auth login"
        raise StudentError(
            f"student {name}: no such folder, and the hub did not give it ({first_line(error)}); "
            f"{remedy}, or name a local folder"
        ) from error


def _check_model(folder: Path) -> None:
    if folder.is_file() and folder.suffix == ".gguf":
        _check_gguf(folder)
        return
    if folder.is_file():
        raise StudentError(
            f"student {folder}: a file, and only folders of safetensors and GGUF files are loaded; "
            "name the model's folder"
        )
    if not folder.is_dir():
        what = "file" if folder.suffix == ".gguf" else "folder"
        hint = suggest(folder.name, (TINY, SMOLLM2), f"{_CHOICES}, {TINY} or {SMOLLM2}", cutoff=0.7)
        raise UsageError(f"student {folder}: no such {what}; {hint}")
    config = _json_object(folder / "config.json", "a model of transformers")
    if "auto_map" in config:
        raise StudentError(
            f"{folder}: the model needs code of its own (auto_map), which is never run; use another"
        )
    _check_architecture(folder, str(config.get("model_type")))
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise StudentError(
            f"{folder}: no *.safetensors file; pickled weights are never loaded: "
            "save the model with save_pretrained, which writes safetensors"
        )
    _check_shards(folder)
    _require_plausible(
        folder, _configured(folder, ("num_hidden_layers", "n_layer")), _check_safetensors(weights)
    )
    _check_tokenizer(folder / "tokenizer.json")


def _check_gguf(path: Path) -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    header = read_gguf_header(path)
    name = header.architecture
    spellings = {name, name.replace("-", "_"), name.replace("moe", "_moe")}
    if not spellings & set(GGUF_SUPPORTED_ARCHITECTURES):
        raise StudentError(
            f"{path}: transformers cannot read a GGUF file of the architecture {name!r}; use the model's "
            "folder of safetensors"
        )
    if header.tensors.keys() & _LONG_FACTORS or f"{name}.rope.scaling.type" in header.values:
        raise StudentError(
            f"{path}: its scaling of positions is not read from GGUF files, so it would answer worse than it "
            "can; use the model's folder of safetensors"
        )
    _require_plausible(path, header.number("block_count"), len(header.tensors))
    if header.vocabulary_size is None:
        raise StudentError(f"{path}: it has no tokenizer; use a GGUF file of a whole model")


def _check_shards(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    shards = _json_object(path, "a model of transformers").get("weight_map") if path.is_file() else {}
    missing = [name for name in sorted(set((shards or {}).values())) if not (folder / name).is_file()]
    if missing:
        raise StudentError(f"{folder}: {missing[0]} is missing, one of its files of weights; fetch it again")


def _check_architecture(folder: Path, name: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if name not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise StudentError(
            f"{folder}: {name!r} is no causal language model that this transformers knows; use another model"
        )


def _check_tokenizer(path: Path) -> None:
    """Refuse an unreadable tokenizer; a model without this file may have another."""
    if not path.is_file():
        return
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # nothing narrower is raised
        raise StudentError(f"{path}: not a readable tokenizer ({error}); fetch it again") from error


def _require_plausible(path: Path, layers: int | None, tensors: int) -> None:
    """Refuse a model of more layers than it has weights: making it alone would take all memory."""
    if layers is not None and layers > tensors:
        raise StudentError(
            f"{path}: {layers:,} layers are stated, and {tensors:,} weights are there; fetch it again"
        )


def _check_safetensors(paths: Iterable[Path]) -> int:
    """Return how many weights some files hold. Raises StudentError for a damaged one."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as file:
                count += len(file.keys())
        except (SafetensorError, OSError) as error:
            raise StudentError(f"{path}: damaged or no safetensors file ({error}); fetch it again") from error
    return count


def _json_object(path: Path, what: str) -> Mapping[str, Any]:
    if not path.is_file():
        raise StudentError(f"{path.parent}: no {path.name}, so this is not {what}; check the path")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StudentError(f"{path}: not readable as JSON ({error}); fetch it again") from error
    if not isinstance(loaded, dict):
        raise StudentError(f"{path}: not a JSON object; fetch it again")
    return loaded
