from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from llm.loading import quiet_deprecations
from training.grpo.merged_lora import MergedLora, should_merge
from training.grpo.rollouts import (
    SamplingConfig,
    can_share_prefix,
    compute_log_probs,
    generate_answers,
    pad_left,
)

WORDS, END, PAD = 40, 2, 0
PROMPTS = [[5, 9, 11, 7], [8], [12, 6, 30, 31, 32, 33, 9]]


def small_model(attention: str = "sdpa", **changes: Any) -> Any:
    torch.manual_seed(0)
    settings = {
        "vocab_size": WORDS,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "bos_token_id": None,
        "attn_implementation": attention,
    }
    return Qwen3ForCausalLM(Qwen3Config(**(settings | changes))).eval()


def with_lora(model: Any) -> Any:
    torch.manual_seed(1)
    shape = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    with quiet_deprecations():
        return get_peft_model(model, shape)


def drawn_answers(copies: int, tokens: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(3, WORDS, (len(PROMPTS), copies, tokens), generator=generator)


def row_by_row(model: Any, answers: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: every answer behind its own prompt, in a row of its own."""
    stated, entropy = [], []
    for prompt, group in zip(PROMPTS, answers, strict=True):
        for answer in group:
            ids = torch.tensor([prompt + answer.tolist()])
            scores = (model(input_ids=ids).logits[0, len(prompt) - 1 : -1] / temperature).log_softmax(-1)
            stated.append(scores.gather(-1, answer[:, None])[:, 0])
            entropy.append(-(scores.exp() * scores).sum(-1))
    return torch.stack(stated).view(answers.shape), torch.stack(entropy).view(answers.shape)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_answers_that_share_their_prompt_get_the_probabilities_they_have_alone(
    attention: str, temperature: float
) -> None:
    model, answers = small_model(attention), drawn_answers(3, 5)
    ids, mask = pad_left(PROMPTS, PAD, "cpu")
    with torch.no_grad():
        expected = row_by_row(model, answers, temperature)
        stated, entropy = compute_log_probs(model, ids, mask, answers, temperature)
    assert torch.allclose(stated, expected[0], atol=1e-5)
    assert torch.allclose(entropy, expected[1], atol=1e-5)


def test_answers_that_share_their_prompt_give_the_gradient_they_give_alone() -> None:
    answers = drawn_answers(3, 5)
    weight = torch.randn(answers.shape, generator=torch.Generator().manual_seed(4))
    ids, mask = pad_left(PROMPTS, PAD, "cpu")
    gradients = []
    for shared in (True, False):
        # In double precision: sums of single ones round by more than the bound on some processors. The norms
        # and the cosine tables stay single, so the two ways still differ by 1e-7.
        model = with_lora(small_model()).double()
        stated, _ = compute_log_probs(model, ids, mask, answers) if shared else row_by_row(model, answers, 1)
        (stated * weight).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        assert float(gradient.abs().sum()) > 0
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6, rtol=1e-4), name


def test_no_answer_sees_another() -> None:
    model, answers = small_model(), drawn_answers(3, 5)
    ids, mask = pad_left(PROMPTS, PAD, "cpu")
    changed = answers.clone()
    changed[:, 0] = 3
    with torch.no_grad():
        before, _ = compute_log_probs(model, ids, mask, answers)
        after, _ = compute_log_probs(model, ids, mask, changed)
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert not torch.allclose(before[:, 0], after[:, 0])


def test_a_dense_form_answers_and_learns_as_the_lora_model_does() -> None:
    answers = drawn_answers(2, 4)
    ids, mask = pad_left(PROMPTS, PAD, "cpu")
    variants = []
    for dense in (True, False):
        model = with_lora(small_model()).double()
        assert should_merge(model, "default")
        stated, _ = compute_log_probs(MergedLora(model, "default") if dense else model, ids, mask, answers)
        stated.sum().backward()
        variants.append((stated, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    assert torch.allclose(variants[0][0], variants[1][0], atol=1e-10)
    assert variants[0][1].keys() == variants[1][1].keys() and variants[0][1]
    for name, gradient in variants[0][1].items():
        assert torch.allclose(gradient, variants[1][1][name], atol=1e-10, rtol=1e-10), name


def test_a_dense_form_follows_the_adapter_and_holds_still_only_while_held() -> None:
    model = with_lora(small_model())
    dense, ids = MergedLora(model, "default"), torch.tensor([PROMPTS[0]])
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    with torch.no_grad(), dense.cache_weights() as held:
        before = held(input_ids=ids).logits
        layer.lora_B["default"].weight.mul_(3)
        assert torch.equal(held(input_ids=ids).logits, before)
    with torch.no_grad():
        assert torch.allclose(dense(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)
        assert not torch.allclose(dense(input_ids=ids).logits, before, atol=1e-3)


def test_wide_layers_stay_in_two_factors() -> None:
    wide = small_model(hidden_size=96, intermediate_size=96, head_dim=24)
    assert not should_merge(with_lora(wide), "default")


def test_sampling_at_no_temperature_is_greedy_decoding() -> None:
    model = small_model()
    how = SamplingConfig(num_generations=3, max_tokens=12, ends=[END], pad=PAD, temperature=1e-4)
    drawn = generate_answers(model, PROMPTS, how, torch.Generator().manual_seed(0))
    for prompt, answers in zip(PROMPTS, drawn, strict=True):
        ids = torch.tensor([prompt])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        assert answers == [output[0, len(prompt) :].tolist()] * 3


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    model, copies = small_model(), 4000
    how = SamplingConfig(num_generations=copies, max_tokens=1, ends=[END], pad=PAD)
    drawn = generate_answers(model, PROMPTS[:1], how, torch.Generator().manual_seed(0))
    with torch.no_grad():
        odds = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1)
    counted = torch.bincount(torch.tensor(drawn[0]).flatten(), minlength=WORDS)
    error = (odds * (1 - odds) / copies).sqrt()
    assert bool(((counted / copies - odds).abs() <= 5 * error + 1e-4).all())


def test_second_tokens_are_drawn_given_the_first() -> None:
    model, copies = small_model(), 4000
    how = SamplingConfig(num_generations=copies, max_tokens=2, ends=[END], pad=PAD)
    drawn = [
        a
        for a in generate_answers(model, PROMPTS[1:2], how, torch.Generator().manual_seed(0))[0]
        if len(a) == 2
    ]
    commonest = max({a[0] for a in drawn}, key=lambda token: sum(a[0] == token for a in drawn))
    seconds = torch.tensor([a[1] for a in drawn if a[0] == commonest])
    with torch.no_grad():
        odds = model(input_ids=torch.tensor([[*PROMPTS[1], commonest]])).logits[0, -1].softmax(-1)
    error = (odds * (1 - odds) / len(seconds)).sqrt()
    shares = torch.bincount(seconds, minlength=WORDS) / len(seconds)
    assert bool(((shares - odds).abs() <= 5 * error + 1e-3).all())


def test_answers_end_with_an_ending_token_or_at_the_limit() -> None:
    ends = list(range(3, 20))
    how = SamplingConfig(num_generations=6, max_tokens=5, ends=ends, pad=PAD)
    drawn = generate_answers(small_model(), PROMPTS, how, torch.Generator().manual_seed(1))
    answers = [answer for group in drawn for answer in group]
    assert [len(group) for group in drawn] == [6, 6, 6]
    assert {len(answer) for answer in answers} - {5}
    for answer in answers:
        assert not set(answer[:-1]) & set(ends)
        assert len(answer) == 5 or answer[-1] in ends


def test_equal_seeds_draw_equal_answers() -> None:
    how = SamplingConfig(num_generations=4, max_tokens=6, ends=[END], pad=PAD)
    first, again, other = (
        generate_answers(small_model(), PROMPTS, how, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({}, True),
        ({"layer_types": ["full_attention", "sliding_attention"]}, False),
        ({"layer_types": ["linear_attention", "full_attention"]}, False),
        ({"sliding_window": 512}, False),
        ({"_attn_implementation": "flash_attention_2"}, False),
        ({"num_experts": 8}, False),
    ],
)
def test_prompts_are_shared_only_where_a_mask_can_say_who_sees_whom(
    changes: dict[str, Any], shared: bool
) -> None:
    settings = {"layer_types": ["full_attention"] * 2, "_attn_implementation": "sdpa"} | changes
    config = SimpleNamespace(**settings)
    config.get_text_config = lambda: config
    assert can_share_prefix(SimpleNamespace(config=config)) is shared


def test_the_shipped_student_shares_its_prompts(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from llm.model_files import model_folder

    assert can_share_prefix(AutoModelForCausalLM.from_pretrained(model_folder("tiny")))


def test_the_last_answers_to_a_prompt_are_begun_with_the_openings() -> None:
    openings = [[7, 8], [9]]
    how = SamplingConfig(num_generations=4, max_tokens=5, ends=[END], pad=PAD, prefixes=openings)
    for answers in generate_answers(small_model(), PROMPTS, how, torch.Generator().manual_seed(1)):
        assert [answers[2][:2], answers[3][:1]] == openings
        assert len({tuple(answer) for answer in answers[:2]}) == 2
