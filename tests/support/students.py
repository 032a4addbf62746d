"""A student that answers by a rule, and a small real model, for tests that need no trained one."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from engine.model import Observation
from llm.loading import quiet_deprecations
from llm.prompts import CompactTemplate

UP = '{"direction": "up", "confidence": 0.60, "close": 100.50}'
DOWN = '{"direction": "down", "confidence": 0.70, "close": 99.00}'


def by_last_move(prompt: str) -> str:
    """Up after a rise, down after a fall, as the prompt shows it."""
    return UP if prompt.split("\n")[0].split()[-1].startswith("+") else DOWN


class RuleStudent:
    """Answers by a function of the prompt and counts what it was asked."""

    def __init__(self, rule: Callable[[str], str] = by_last_move, released: date | None = None) -> None:
        self.name = "rule"
        self.fingerprint = "rule-1"
        self.window = 21
        self.released = released
        self.notes = ()
        self.asked: list[str] = []
        self._rule = rule

    def prompt(self, observation: Observation) -> str:
        text = CompactTemplate().messages(observation, 5)[0]["content"]
        return f"{text}\n{observation.symbol} {observation.as_of.isoformat()}"

    def answer(self, prompts: Sequence[str], on_progress: Callable[[int, int], None]) -> list[str]:
        self.asked += prompts
        on_progress(len(prompts), len(prompts))
        return [self._rule(prompt) for prompt in prompts]


def make_small_model(folder: Path, family: str = "Qwen3", **more: object) -> Path:
    """A model of random weights with the tiny student's tokenizer, saved as any user's model would be."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llm.model_files import model_folder

    tokenizer = AutoTokenizer.from_pretrained(model_folder("tiny"))
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = getattr(transformers, f"{family}Config")(**shape | more)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_small_adapter(model: Path, folder: Path) -> Path:
    """A LoRA adapter for a small model, with weights that change its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    with quiet_deprecations():
        adapted = get_peft_model(
            AutoModelForCausalLM.from_pretrained(model),
            LoraConfig(
                r=4, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], init_lora_weights=False
            ),
        )
    adapted.save_pretrained(folder)
    return folder
