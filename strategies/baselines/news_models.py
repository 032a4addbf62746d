"""Baselines that learn from headlines: TF-IDF with logistic regression, and a list of finance words.

Each forecast is made from the headlines of its observation, the newest 50. One model serves all symbols.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from engine.model import Bar, Direction, Forecast, Observation
from engine.outcomes import OutcomeFinder
from strategies.baselines.counting import call_probability, share_of_rises, tabulate
from strategies.baselines.fitting import Label, Predict, predict_walk_forward

_MAX_HEADLINES = 50
_HASHES = 2**16
_WORD = r"[a-z0-9][a-z0-9'&-]*|[\u3400-\u9fff]"
"""A word, or a Chinese character: pairs of them are what Chinese words are."""

_NEGATION_REACH = 3
"""A negation turns the words round that follow within so many tokens."""


def tfidf(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast by logistic regression on words and pairs of words, weighted by TF-IDF (Salton, Buckley 1988).

    Without news, and before the first fit, the forecast is the symbol's share of rises so far.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = [_join_headlines(seen) for seen in observed]
    # Hashing has no vocabulary that could know a later text; inverse document frequencies are fitted.
    hashing = HashingVectorizer(
        n_features=_HASHES, alternate_sign=False, norm=None, ngram_range=(1, 2), token_pattern=_WORD
    )
    with_news = [bool(text) for text in texts]
    labels = _label_rises(observed, bars)
    fitted = predict_walk_forward(
        hashing.transform(texts),
        [seen.as_of for seen in observed],
        [label if news else None for label, news in zip(labels, with_news, strict=True)],
        _fit_tfidf,
        wanted=with_news,
    )
    rises = share_of_rises(observed, bars)
    return tabulate(
        observed,
        (
            call_probability(share if p is None else p)
            for p, share in zip(fitted.probabilities, rises, strict=True)
        ),
    )


def lexicon(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> Sequence[Forecast]:
    """Forecast the sign of the good less the bad words of the headlines, by `finance_words.toml`.

    The confidence is how often headlines of that sign came before such a move, and at least one half. Where
    good and bad words are equally many, or none, the forecast is the likelier move after such headlines.
    """
    import numpy as np

    signs = np.array([_sign_of(seen) for seen in observed], dtype=int)
    fitted = predict_walk_forward(
        signs, [seen.as_of for seen in observed], _label_rises(observed, bars), _count_rises
    )
    rises = share_of_rises(observed, bars)
    calls = []
    for sign, probability, share in zip(signs, fitted.probabilities, rises, strict=True):
        known = share if probability is None else probability
        if sign == 0:
            calls.append(call_probability(known))
        else:
            # Before the first fit nothing is known of the words.
            right = 0.5 if probability is None else known if sign > 0 else 1.0 - known
            calls.append((Direction.UP if sign > 0 else Direction.DOWN, right))
    return tabulate(observed, calls)


def score_words(text: str) -> int:
    """Return the good words of a text less the bad ones; a negation before a word turns it round."""
    words = _load_words()
    score = 0
    lowered = text.lower()
    tokens = re.findall(_WORD, lowered)
    negated_until = -1
    for place, token in enumerate(tokens):
        if token in words["negations"]:
            negated_until = place + _NEGATION_REACH
        value = (token in words["good"]) - (token in words["bad"])
        score += -value if place <= negated_until else value
    for phrase in words["chinese_good"]:
        score += lowered.count(phrase)
    for phrase in words["chinese_bad"]:
        score -= lowered.count(phrase)
    return score


def _sign_of(seen: Observation) -> int:
    score = sum(score_words(item.headline) for item in seen.news[-_MAX_HEADLINES:])
    return (score > 0) - (score < 0)


@cache
def _load_words() -> Mapping[str, frozenset[str]]:
    text = files("strategies.baselines").joinpath("finance_words.toml").read_text(encoding="utf-8")
    return {name: frozenset(words) for name, words in tomllib.loads(text).items()}


def _join_headlines(seen: Observation) -> str:
    return " . ".join(item.headline for item in seen.news[-_MAX_HEADLINES:])


def _label_rises(observed: Sequence[Observation], bars: Mapping[str, Sequence[Bar]]) -> list[Label | None]:
    finder = OutcomeFinder(bars)
    outcomes = map(finder.find, observed)
    return [
        None if outcome is None or outcome.tie else (outcome.known_at, outcome.close_return > 0)
        for outcome in outcomes
    ]


def _fit_tfidf(rows: Any, rises: Sequence[bool]) -> Predict:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    weights = TfidfTransformer(sublinear_tf=True).fit(rows)
    regression = LogisticRegression(max_iter=1000).fit(weights.transform(rows), rises)

    def predict(found: Any) -> Sequence[float]:
        scores = weights.transform(found) @ regression.coef_[0] + regression.intercept_[0]
        probabilities: Sequence[float] = 1 / (1 + np.exp(-scores))
        return probabilities

    return predict


def _count_rises(signs: Any, rises: Sequence[bool]) -> Predict:
    """Return the share of rises after headlines of each sign, by Laplace's rule of succession."""
    counts = {-1: [1, 2], 0: [1, 2], 1: [1, 2]}
    for sign, rise in zip(signs, rises, strict=True):
        counts[int(sign)][0] += rise
        counts[int(sign)][1] += 1
    return lambda found: [counts[int(sign)][0] / counts[int(sign)][1] for sign in found]
