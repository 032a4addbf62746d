"""The configurations of the sessions that are killed: three simulated years, and two real ones."""

from tests.support.places import SHARED_DATA

NAME = "trial"

_LEARNS = [
    "[paper]",
    'retrain = "quarterly"',
    'method = "sft"',
    "train_days = 80",
    "test_days = 60",
    "steps = 30",
    "deadline_seconds = 600",
]


def _script(*entries: tuple[str, str, str]) -> list[str]:
    """Return the lines of `[[paper.script]]`: an instant, an action and its other fields."""
    lines = []
    for at, do, rest in entries:
        lines += ["", "[[paper.script]]", f"at = {at}", f'do = "{do}"', *filter(None, rest.split("; "))]
    return lines


_SCRIPT = [
    ("2023-03-08T11:00:00Z", "pause", 'text = "away"'),
    ("2023-03-10T07:30:00Z", "resume", ""),
    ("2023-05-02T00:00:00Z", "split", 'symbol = "MARL"; value = 3.0'),
    ("2023-06-14T00:00:00Z", "dividend", 'symbol = "MARL"; value = 0.2'),
    ("2023-08-01T05:00:00Z", "gap", 'symbol = "CTR"; text = "its source failed"'),
    ("2023-10-10T09:00:00Z", "halt", 'text = "news"'),
    ("2023-10-12T09:00:00Z", "resume", ""),
    ("2024-02-02T10:00:00Z", "quote", 'symbol = "CTR"; value = 1.0'),
    ("2024-02-03T10:00:00Z", "resume", ""),
    ("2024-05-06T08:00:00Z", "reduce", ""),
    ("2024-05-20T08:00:00Z", "resume", ""),
    ("2024-09-01T12:00:00Z", "flatten", 'text = "out"'),
    ("2024-09-05T12:00:00Z", "resume", ""),
    ("2025-02-03T00:00:00Z", "split", 'symbol = "MARL"; value = 0.5'),
]

_SIMULATED = [
    "seed = 11",
    "[risk]",
    "drawdown = 0.6",
    "[market]",
    "coins = 2",
    "stocks = 2",
    "days = 1095",
    "reversal = 2024-02-20",
    *_LEARNS,
    *_script(*_SCRIPT),
]
"""Three years of coins and stocks, with commands, splits, a dividend, a gap and an absurd price."""


def _real_data_scene(learning: list[str]) -> list[str]:
    """Two real years with their news."""
    bars = ("coins_yahoo_daily/BTC-USD", "coins_yahoo_daily/ETH-USD", "us_stocks_daily/AAPL")
    news = (
        "news_crypto_headlines/bitcoin_news_2021_2024",
        "news_crypto_headlines/altcoin_news_2021_2023",
        "news_stocks_by_ticker/AAPL_googlenews_2022_2023",
    )
    return [
        f"bars = {[f'{SHARED_DATA}/{name}.csv' for name in bars]}",
        f"news = {[f'{SHARED_DATA}/{name}.csv' for name in news]}",
        "start = 2022-01-01",
        "end = 2023-12-31",
        "allow_harmful = true",
        "[paper]",
        *learning,
        *_script(
            ("2022-05-11T09:00:00Z", "halt", 'text = "the news of the day"'),
            ("2022-05-13T09:00:00Z", "resume", ""),
            ("2022-11-08T18:00:00Z", "pause", ""),
            ("2022-11-14T08:00:00Z", "resume", ""),
            ("2023-02-10T00:00:00Z", "dividend", 'symbol = "AAPL"; value = 0.23'),
        ),
    ]


SCENES = {
    "doubles": _SIMULATED,
    "simulated": _SIMULATED,
    "real": _real_data_scene([]),
    "real-learning": _real_data_scene(_LEARNS[1:]),
}
