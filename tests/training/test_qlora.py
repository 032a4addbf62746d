import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.journal.events.training import TrainingGuard
from llm.student import Quantization, StudentSettings
from llm.transformers_student import TransformersStudent, load_student
from tests.support.students import make_small_model
from training.lora import LoraShape, add_adapter, has_stable_gradient, load_student_to_train

NF4 = Quantization.NF4
NO_KERNEL = "an autograd kernel was not registered"


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> StudentSettings:
    folder = make_small_model(tmp_path_factory.mktemp("models") / "small")
    return StudentSettings(student=str(folder), quantization=NF4, prompt="compact")


def gradients(model: Any, ids: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The gradient of each part of an adapter that starts at zero, and what was warned of meanwhile."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.filterwarnings("always", message=f".*{NO_KERNEL}")  # any other is an error, as everywhere
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids).loss.backward()
    found = {
        name: weight.grad.float().clone()
        for name, weight in model.named_parameters()
        if "lora_B" in name and weight.grad is not None
    }
    return found, [str(one.message) for one in warned]


def test_four_bit_weights_train_after_an_answer_or_are_known_not_to(quantized: StudentSettings) -> None:
    """The gradient itself: it is the one before the answer, and steps along it lower the loss, if the check
    says so; if it says no, the gradient is another one, or torch says that it has none.
    """
    learns = has_stable_gradient(load_student(quantized), quantized)
    student = load_student(quantized)
    torch.manual_seed(0)
    model = add_adapter(student, quantized, LoraShape(rank=4, alpha=8))
    ids = student.tokenizer("up up down up down", return_tensors="pt").input_ids.to(model.device)
    before, warned = gradients(model, ids)
    assert before and all(float(one.abs().sum()) > 0 for one in before.values())
    assert warned == []
    student.generate(["news"])
    after, warned = gradients(model, ids)
    same = before.keys() == after.keys() and all(
        torch.allclose(before[name], after[name], rtol=0.05, atol=1e-3 * float(before[name].abs().max()))
        for name in before
    )
    assert (same and not warned) is learns
    if learns:
        losses = stepped(model, ids)
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("kind", [Quantization.NF4, Quantization.INT8])
def test_the_gradient_on_quantized_weights_is_the_slope_of_the_loss_after_an_answer(
    quantized: StudentSettings, kind: Quantization
) -> None:
    """Against central differences along the gradient, or the student is known not to train like this."""
    settings = replace(quantized, quantization=kind)
    if not has_stable_gradient(load_student(settings), settings):
        pytest.skip("this processor has no gradient for such weights; they are trained unquantized")
    student = load_student(settings)
    torch.manual_seed(0)
    model = add_adapter(student, settings, LoraShape(rank=4, alpha=8))
    ids = student.tokenizer("up up down up down", return_tensors="pt").input_ids
    assert len(student.answer(["news", "no news"], lambda *_: None)) == 2
    found, warned = gradients(model, ids)
    assert warned == []
    norm = sum(float(gradient.square().sum()) for gradient in found.values()) ** 0.5
    weights = {name: weight for name, weight in model.named_parameters() if name in found}

    def loss(step: float) -> float:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.add_(found[name], alpha=step / norm)
            value = float(model(input_ids=ids, labels=ids).loss)
            for name, weight in weights.items():
                weight.sub_(found[name], alpha=step / norm)
        return value

    step = 0.02
    assert (loss(step) - loss(-step)) / (2 * step) == pytest.approx(norm, rel=0.02)


def stepped(model: Any, ids: torch.Tensor) -> list[float]:
    """The losses of eight steps of the adapter."""
    losses = []
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(8):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (UserWarning(f"gemv_4bit: {NO_KERNEL} to the Autograd key(s)"), False),
        (RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn"), False),
        (NotImplementedError("derivative for aten::gemv_4bit is not implemented"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), None),
        (UserWarning("Converting a tensor with requires_grad=True to a scalar"), None),
    ],
)
def test_only_a_failure_that_speaks_of_a_missing_gradient_means_that_a_student_cannot_learn(
    quantized: StudentSettings, monkeypatch: pytest.MonkeyPatch, failure: Exception, says: bool | None
) -> None:
    plain = replace(quantized, quantization=Quantization.NONE)
    student = load_student(plain)

    def failing(prompts: list[str]) -> list[str]:
        raise failure

    monkeypatch.setattr(student, "generate", failing)
    if says is None:
        with pytest.raises(type(failure), match=re.escape(str(failure))):
            has_stable_gradient(student, plain)
    else:
        assert has_stable_gradient(student, plain) is says


def test_plain_weights_are_found_to_learn(quantized: StudentSettings) -> None:
    plain = replace(quantized, quantization=Quantization.NONE)
    assert has_stable_gradient(load_student(plain), plain)


def test_weights_without_gradient_are_found_out(
    quantized: StudentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(quantized, quantization=Quantization.NONE)
    student = load_student(plain)
    generate = student.generate

    def repacking(prompts: list[str]) -> list[str]:
        layer = student.model.model.layers[-1].mlp.down_proj.base_layer
        layer.forward = lambda x: torch.nn.functional.linear(x, layer.weight).detach()
        return generate(prompts)

    monkeypatch.setattr(student, "generate", repacking)
    assert not has_stable_gradient(student, plain)


def test_a_student_that_cannot_learn_in_four_bits_is_trained_unquantized_and_says_so(
    quantized: StudentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.lora.has_stable_gradient", lambda *_: False)
    loaded: list[StudentSettings] = []
    events: list[TrainingGuard] = []

    def load(wanted: StudentSettings) -> TransformersStudent:
        loaded.append(wanted)
        return load_student(wanted)

    settings, _ = load_student_to_train(quantized, load, events.append)
    assert settings == replace(quantized, quantization=Quantization.NONE) == loaded[-1]
    assert [guard.done for guard in events] == ["trains unquantized"]


def test_an_unquantized_student_is_taken_as_it_is(quantized: StudentSettings) -> None:
    plain = replace(quantized, quantization=Quantization.NONE)
    settings, _ = load_student_to_train(plain, load_student, lambda *_: pytest.fail("nothing to tell"))
    assert settings == plain


@pytest.mark.slow
def test_a_round_of_grpo_works_on_four_bit_weights(quantized: StudentSettings, tmp_path: Path) -> None:
    from tests.training.test_grpo import QUICK, train_once

    trained = train_once(tmp_path / "adapter", QUICK, quantized)
    assert (trained.folder / "adapter_model.safetensors").is_file()
    again = load_student(replace(quantized, adapter=trained.folder))
    assert again.generate(["news"])
