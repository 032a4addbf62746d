"""A small model folder as a GGUF file, with unquantized weights, as llama.cpp's converter lays it out."""

import json
from pathlib import Path

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(folder: Path, path: Path, architecture: str = "qwen3", factors: object = None) -> Path:
    """Write a folder of the Llama or Qwen3 shape, with a byte-level tokenizer, as a GGUF file.

    `factors` are those by which Llama 3 divides the frequencies of its positions.
    """
    import gguf
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    config = json.loads((folder / "config.json").read_text())
    written = gguf.GGUFWriter(path, architecture)
    written.add_context_length(config["max_position_embeddings"])
    written.add_block_count(config["num_hidden_layers"])
    written.add_embedding_length(config["hidden_size"])
    written.add_feed_forward_length(config["intermediate_size"])
    written.add_head_count(config["num_attention_heads"])
    written.add_head_count_kv(config["num_key_value_heads"])
    written.add_key_length(config["head_dim"])
    written.add_layer_norm_rms_eps(config["rms_norm_eps"])
    written.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    add_tokenizer(written, AutoTokenizer.from_pretrained(folder))
    for name, weight in load_file(folder / "model.safetensors").items():
        if architecture == "llama" and (".q_proj" in name or ".k_proj" in name):
            weight = interleave(weight, config["head_dim"])
        written.add_tensor(gguf_name(name), weight)
    if factors is not None:
        written.add_tensor("rope_freqs.weight", factors)
    written.write_header_to_file()
    written.write_kv_data_to_file()
    written.write_tensors_to_file()
    written.close()
    return path


def add_tokenizer(written, tokenizer) -> None:
    import gguf

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["content"]: token["special"] for token in state["added_tokens"]}
    types = {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    written.add_tokenizer_model("gpt2")
    written.add_tokenizer_pre("default")
    written.add_token_list(tokens)
    written.add_token_types([types[added.get(token)] for token in tokens])
    written.add_token_merges([" ".join(merge) for merge in state["model"]["merges"]])
    written.add_eos_token_id(tokenizer.eos_token_id)
    written.add_pad_token_id(tokenizer.pad_token_id)
    written.add_chat_template(tokenizer.chat_template)


def interleave(weight, width: int):
    """The rows of a head in the order in which llama.cpp turns them by their positions."""
    return weight.reshape(-1, 2, width // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name: str) -> str:
    ends = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, kind = name.rpartition(".")
    if stem in ends:
        return f"{ends[stem]}.{kind}"
    _, _, block, part = stem.split(".", 3)
    return f"blk.{block}.{NAMES[part]}.{kind}"
