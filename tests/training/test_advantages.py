import math
import random

import pytest
import torch

from engine.model import Direction
from llm.answers import format_answer
from training.grpo.advantages import compute_advantages, segment_answer

_GAINS = {(0, 0): 0.1, (0, 1): 0.4, (1, 0): 0.2, (1, 1): 0.9}
UP, DOWN = '{"direction": "up", ', '{"direction": "down", '


def split_pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def test_a_token_belongs_to_the_choice_that_was_next_when_it_was_drawn() -> None:
    pieces = ['{"direction": "', "up", '", "confidence": ', "0", ".", "7", '0, "close": ', "101", "}"]
    stages, begun = segment_answer(pieces)
    assert stages == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert begun == '{"direction": "up", "confidence": '


def test_answers_of_one_direction_begin_alike_whatever_follows() -> None:
    first, second, other = (
        segment_answer(split_pieces(format_answer(way, stated, close), 1))[1]
        for way, stated, close in (
            (Direction.UP, 0.6, 101.0),
            (Direction.UP, 0.9, 120.0),
            (Direction.DOWN, 0.6, 99.0),
        )
    )
    assert first == second != other


def test_an_answer_without_the_keys_is_one_choice() -> None:
    assert segment_answer(["up", ", I ", "think"]) == ([0, 0, 0], None)
    assert segment_answer([]) == ([], None)


def test_each_choice_is_compared_with_answers_that_had_begun_alike() -> None:
    rewards = [(1.0, 0.8, -0.1), (1.0, 0.6, -0.3), (0.0, 0.2, 0.0), (0.0, 0.4, 0.0)]
    advantages = compute_advantages(rewards, [UP, UP, DOWN, DOWN])
    totals = [sum(parts) for parts in rewards]
    up, down, mean = sum(totals[:2]) / 2, sum(totals[2:]) / 2, sum(totals) / 4
    assert [row[0] for row in advantages] == pytest.approx([up - mean] * 2 + [down - mean] * 2)
    assert [row[1] for row in advantages] == pytest.approx([0.2, -0.2, -0.1, 0.1])
    assert [row[2] for row in advantages] == pytest.approx([0.1, -0.1, 0.0, 0.0])


def test_the_luck_of_a_direction_reaches_no_later_token() -> None:
    lucky, unlucky = ([(luck, 0.5, -0.1), (luck, 0.7, -0.2)] for luck in (1.0, 0.0))
    assert [row[1:] for row in compute_advantages(lucky, [UP, UP])] == [
        row[1:] for row in compute_advantages(unlucky, [UP, UP])
    ]


def test_an_unreadable_answer_is_blamed_as_a_whole() -> None:
    advantages = compute_advantages([(0.0, 0.0, -2.0), (1.0, 0.5, 0.0)], [None, UP])
    assert advantages[0] == pytest.approx((-1.75,) * 3)
    assert advantages[1] == pytest.approx((1.75, 0.0, 0.0))


def test_the_expected_gradient_is_that_of_the_plain_advantage_with_less_noise() -> None:
    # A policy of two choices, two ways each; the second choice's odds hang on the first.
    first, second = 0.4, (0.3, 0.8)
    worth = {
        (0, 0): (0.0, 0.1, 0.0),
        (0, 1): (0.0, 0.4, 0.0),
        (1, 0): (1.0, 0.2, 0.0),
        (1, 1): (1.0, 0.9, 0.0),
    }
    luck = random.Random(3)

    def score(way: int, odds: float) -> float:
        return 1 - odds if way else -odds

    sums = {"plain": [0.0] * 3, "credited": [0.0] * 3}
    squares = {"plain": [0.0] * 3, "credited": [0.0] * 3}
    rounds, copies = 6_000, 8
    for _ in range(rounds):
        group = []
        for _ in range(copies):
            one = int(luck.random() < first)
            group.append((one, int(luck.random() < second[one])))
        rewards = [worth[pair] for pair in group]
        mean = sum(sum(parts) for parts in rewards) / copies
        credited = compute_advantages(rewards, [str(one) for one, _ in group])
        for name in sums:
            gradient = [0.0] * 3
            for (one, two), parts, advantages in zip(group, rewards, credited, strict=True):
                now, later = (sum(parts) - mean,) * 2 if name == "plain" else advantages[:2]
                gradient[0] += now * score(one, first) / copies
                gradient[1 + one] += later * score(two, second[one]) / copies
            for place, value in enumerate(gradient):
                sums[name][place] += value / rounds
                squares[name][place] += value**2 / rounds
    # Comparing within a group of n costs a factor of (n - 1) / n, more where few answers began alike.
    for place in range(3):
        plain, credited_mean = sums["plain"][place], sums["credited"][place]
        assert 0.55 < credited_mean / plain < 1.15
    spread = {
        name: [math.sqrt(squares[name][p] - sums[name][p] ** 2) / sums[name][p] for p in range(3)]
        for name in sums
    }
    assert spread["credited"][1] < 0.8 * spread["plain"][1]
    assert spread["credited"][2] < 0.95 * spread["plain"][2]


def test_the_trainer_credits_each_token_and_holds_the_ends_of_openings() -> None:
    from training.grpo.trainer import SharedPromptTrainer

    texts = {
        1: '{"direction": "',
        2: "up",
        3: "down",
        4: '", "confidence": ',
        5: "0.6",
        6: ', "close": ',
        7: "1}",
    }
    trainer = SharedPromptTrainer.__new__(SharedPromptTrainer)
    trainer._pieces, trainer.num_generations = texts, 4
    trainer.prefixes = [[1, 2], [1, 3]]
    parts = [[1.0, 0.8, -0.1], [1.0, 0.6, -0.3], [1.0, 0.7, 0.0], [0.0, 0.3, 0.0]]
    trainer._parts = torch.tensor(parts)
    ids = torch.tensor([[1, way, 4, 5, 6, 7] for way in (2, 2, 2, 3)])
    advantages = trainer._assign_advantages(ids)
    scale = float(torch.tensor(parts).sum(1).std()) + 1e-4
    whole = compute_advantages(parts, ["up"] * 3 + ["down"])
    for row, one in enumerate(whole):
        wanted = [one[0]] * 3 + [one[1]] * 2 + [one[2]]
        assert advantages[row].tolist() == pytest.approx([value / scale for value in wanted], abs=1e-6)
    before = advantages.clone()
    trainer._add_anchor(advantages, [{"anchor": [0.25, 0.5]}] * 4)
    before[2, 1] += 0.25
    before[3, 1] += 0.5
    assert torch.allclose(advantages, before)
