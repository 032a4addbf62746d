"""Log-probabilities of several answers to each prompt, with gradient, the prompt read once.

A row holds a prompt and then its answers, each led by a copy of the prompt's last token, from which its
first token is predicted. The mask lets an answer see the prompt and itself only, and the positions go on
from the prompt's. So all is as if every answer stood in a row of its own. Knows no reward and no trainer.
"""

from typing import TYPE_CHECKING, Any

from training.grpo.rollouts import mask_for

if TYPE_CHECKING:
    import torch


def log_probabilities(
    model: Any,
    prompts: "torch.Tensor",
    prompt_mask: "torch.Tensor",
    answers: "torch.Tensor",
    temperature: float = 1.0,
    *,
    entropy: bool = True,
) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Log-probability of each answer token, and the entropy (without gradient) of what it was drawn from.

    `prompts` and `prompt_mask` are (n, length), padded on the left; `answers` is (n, copies, tokens), padded
    on the right. Both results are (n, copies, tokens); what stands at padding is to be masked by the caller.
    """
    import torch

    rows, copies, tokens = answers.shape
    logits = model(
        input_ids=_inputs(prompts, answers),
        attention_mask=mask_for(model, _seen(prompt_mask, copies, tokens)),
        position_ids=_positions(prompt_mask, copies, tokens),
        use_cache=False,
        # As indices, not as a number: a slice would not be contiguous, and its product is three times slower.
        logits_to_keep=torch.arange(copies * tokens, device=prompts.device) + prompts.shape[1] - 1,
    ).logits
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    scores = torch.log_softmax(logits, dim=-1)
    stated = scores.gather(-1, answers.flatten(1)[..., None])[..., 0].view(rows, copies, tokens)
    if not entropy:
        return stated, None
    with torch.no_grad():
        spread = -(scores.exp() * scores).sum(-1).view(rows, copies, tokens)
    return stated, spread


def _inputs(prompts: "torch.Tensor", answers: "torch.Tensor") -> "torch.Tensor":
    """(n, length - 1 + copies * tokens): the prompt, and each answer moved on by the prompt's last token."""
    import torch

    leads = prompts[:, -1:, None].expand(-1, answers.shape[1], 1)
    led = torch.cat([leads, answers[:, :, :-1]], dim=2)
    return torch.cat([prompts[:, :-1], led.flatten(1)], dim=1)


def _positions(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    import torch

    ahead = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    own = torch.arange(tokens, device=prompt_mask.device).repeat(copies)
    return torch.cat([ahead[:, :-1], ahead[:, -1:] + own], dim=1)


def _seen(prompt_mask: "torch.Tensor", copies: int, tokens: int) -> "torch.Tensor":
    """(n, places, places): which places each place attends to. Padding sees itself, so no row is empty."""
    import torch

    device = prompt_mask.device
    shared = prompt_mask.shape[1] - 1
    branch = torch.cat(
        [
            torch.full((shared,), -1, device=device),
            torch.arange(copies, device=device).repeat_interleave(tokens),
        ]
    )
    causal = torch.ones(len(branch), len(branch), dtype=torch.bool, device=device).tril()
    same = (branch[None, :] == -1) | (branch[None, :] == branch[:, None])
    real = torch.cat(
        [
            prompt_mask[:, :-1].bool(),
            torch.ones(len(prompt_mask), copies * tokens, dtype=torch.bool, device=device),
        ],
        dim=1,
    )
    itself = torch.eye(len(branch), dtype=torch.bool, device=device)
    return (causal & same & real[:, None, :]) | itself
