"""Recount the metrics of a run from its exported files and its bars, without any code of the project.

Run: python tests/support/recount.py EXPORT BARS, where EXPORT is the folder of `backtest --out` and BARS
has SYMBOL.csv of coins, with days in UTC. Prints each metric with both values; exits with 1 if any differs
by more than 1e-9.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats


def recount(export, folder):
    """Return the metrics of the student by key."""
    forecasts = pd.read_csv(export / "forecasts.csv", parse_dates=["as_of"])
    fills = pd.read_csv(export / "fills.csv", parse_dates=["at"])
    orders = pd.read_csv(export / "orders.csv")
    equity = pd.read_csv(export / "equity.csv", parse_dates=["at"])
    bars = {path.stem: read_bars(path) for path in sorted(folder.glob("*.csv"))}
    result = json.loads((export / "result.json").read_text())
    cash = result["cash"]
    borrow_rates = {symbol: costs["borrow_rate"] for symbol, costs in result["costs"].items()}
    return (
        recount_forecasts(forecasts, bars)
        | recount_equity(equity, cash)
        | recount_trading(equity, fills, orders, bars, cash, borrow_rates)
    )


def read_bars(path):
    bars = pd.read_csv(path, parse_dates=["date"])
    bars.index = bars["date"].dt.tz_localize("UTC") + pd.Timedelta(days=1)  # the close of each day
    return bars


def recount_forecasts(rows, bars):
    stated = rows[rows["direction"].notna()].copy()
    openings = {symbol: table["open"].shift(-1) for symbol, table in bars.items()}
    stated["fill_open"] = [openings[row.symbol].get(row.as_of, np.nan) for row in stated.itertuples()]
    later = {symbol: table["open"].shift(-2) for symbol, table in bars.items()}
    stated["exit_open"] = [later[row.symbol].get(row.as_of, np.nan) for row in stated.itertuples()]
    stated["day"] = (stated["as_of"] - pd.Timedelta(microseconds=1)).dt.date
    stated["up"] = stated["direction"] == "up"
    stated["p"] = stated["confidence"].where(stated["up"], 1 - stated["confidence"])
    ends = {symbol: table.index[-1] for symbol, table in bars.items()}
    unknown = stated["outcome_close"].isna()
    last = stated["as_of"] == stated["symbol"].map(ends)
    known = stated[~unknown]
    moved = known[known["outcome_close"] != known["last_close"]]
    opened = known[known["exit_open"].notna() & (known["exit_open"] != known["fill_open"])]
    figures = {
        "n": len(moved),
        "n_open": len(opened),
        "days": moved["day"].nunique(),
        "ties": len(known) - len(moved),
        "abstentions": len(rows) - len(stated),
        "pending": int((unknown & last).sum()),
        "suspended": int((unknown & ~last).sum()),
        "accuracy_open": ((opened["exit_open"] > opened["fill_open"]) == opened["up"]).mean(),
    }
    rose = moved["outcome_close"] > moved["last_close"]
    figures |= recount_directions(moved["up"], rose, moved["day"])
    figures |= recount_probabilities(moved["p"], rose, "")
    token = moved["token_probability_up"]
    if token.notna().any():
        figures |= recount_probabilities(token.dropna(), rose[token.notna()], "_token")
    return figures | recount_closes(known)


def recount_directions(up, rose, day):
    hits = up == rose
    n, accuracy = len(hits), hits.mean()
    days = pd.DataFrame({"hits": hits, "n": 1}).groupby(day).sum()
    groups = len(days)
    error = np.sqrt(groups / (groups - 1) * ((days["hits"] - accuracy * days["n"]) ** 2).sum()) / n
    width = stats.t.ppf(0.975, groups - 1) * error
    x, y = up.mean(), rose.mean()
    independent = x * y + (1 - x) * (1 - y)
    variance = independent * (1 - independent) / n - (
        (2 * y - 1) ** 2 * x * (1 - x) / n
        + (2 * x - 1) ** 2 * y * (1 - y) / n
        + 4 * x * y * (1 - x) * (1 - y) / n**2
    )
    statistic = (accuracy - independent) / np.sqrt(variance)
    # The difference is 2 cov(up, rose), whose influence is 2 (up - x)(rose - y) less its mean.
    influence = 2 * (up - x) * (rose - y)
    sums = (influence - influence.mean()).groupby(day).sum()
    by_days = (accuracy - independent) / (np.sqrt(groups / (groups - 1) * (sums**2).sum()) / n)
    return {
        "accuracy": accuracy,
        "accuracy_low": accuracy - width,
        "accuracy_high": accuracy + width,
        "balanced_accuracy": (up[rose].mean() + (~up)[~rose].mean()) / 2,
        "matthews": np.corrcoef(up, rose)[0, 1],
        "pesaran_timmermann": statistic,
        "pesaran_timmermann_p": stats.norm.sf(statistic),
        "pesaran_timmermann_days": by_days,
        "pesaran_timmermann_days_p": stats.t.sf(by_days, groups - 1),
    }


def recount_probabilities(p, rose, end):
    bins = np.minimum(np.floor(np.round(p * 10, 9)), 9)
    table = pd.DataFrame({"p": p, "rose": rose.astype(float)}).groupby(bins).agg(["mean", "size"])
    q, o, sizes = table["p"]["mean"], table["rose"]["mean"], table["p"]["size"]
    base, brier = rose.mean(), ((p - rose) ** 2).mean()
    reliability = (sizes * (q - o) ** 2).sum() / len(p)
    resolution = (sizes * (o - base) ** 2).sum() / len(p)
    right = p.where(rose, 1 - p).clip(lower=np.finfo(float).eps, upper=1 - np.finfo(float).eps)
    names = {"brier" + end: brier}
    parts = {
        "brier_reliability": reliability,
        "brier_resolution": resolution,
        "brier_uncertainty": base * (1 - base),
        "brier_within_bins": brier - reliability + resolution - base * (1 - base),
        "brier_skill": 1 - brier / (base * (1 - base)),
        "log_score": -np.log(right).mean(),
        "calibration_error": (sizes * (q - o).abs()).sum() / len(p),
    }
    return names | {key + end: value for key, value in parts.items()}


def recount_closes(known):
    error = (known["close"] - known["outcome_close"]).abs() / known["last_close"] * 1e4
    walk = (known["last_close"] - known["outcome_close"]).abs() / known["last_close"] * 1e4
    daily = (error - walk).groupby(known["day"]).mean()
    test = stats.ttest_1samp(daily, 0.0)
    return {
        "close_mae_bps": error.mean(),
        "close_rmse_bps": np.sqrt((error**2).mean()),
        "close_mase": error.mean() / walk.mean(),
        "close_dm": test.statistic,
        "close_dm_p": test.pvalue,
    }


def recount_equity(equity, cash):
    day = (equity["at"] - pd.Timedelta(microseconds=1)).dt.normalize()
    values = equity.groupby(day)["value"].last()
    returns = values / values.shift(1, fill_value=cash) - 1
    span = (values.index[-1] - values.index[0]).days
    year = round((len(values) - 1) / span * 365.25)
    mean, deviation, n = returns.mean(), returns.std(), len(returns)
    sharpe = mean / deviation
    skewness, kurtosis = stats.skew(returns), stats.kurtosis(returns, fisher=False)
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    curve = equity.set_index("at")["value"]
    peaks = curve.cummax().clip(lower=cash)
    falls = 1 - curve / peaks
    trough = falls.idxmax()
    peak = curve[:trough][curve[:trough] == peaks[trough]].index[-1]
    again = curve[trough:][curve[trough:] >= peaks[trough]]
    end = again.index[0] if len(again) else curve.index[-1]
    total = curve.iloc[-1] / cash - 1
    yearly = (1 + total) ** (year / n) - 1
    return {
        "days_per_year": year,
        "total_return": total,
        "annual_return": yearly,
        "volatility": deviation * np.sqrt(year),
        "sharpe": sharpe * np.sqrt(year),
        "probabilistic_sharpe": stats.norm.cdf(sharpe * np.sqrt((n - 1) / spread)),
        "sortino": mean / np.sqrt((returns.clip(upper=0) ** 2).mean()) * np.sqrt(year),
        "max_drawdown": falls.max(),
        "max_drawdown_days": (end - peak).days,
        "calmar": yearly / falls.max(),
        "hit_rate": (returns > 0).sum() / (returns != 0).sum(),
        "profit_factor": returns[returns > 0].sum() / -returns[returns < 0].sum(),
    }


def recount_trading(equity, fills, orders, bars, cash, borrow_rates):
    day = (equity["at"] - pd.Timedelta(microseconds=1)).dt.normalize()
    value = equity.set_index("at")["value"]
    borrowed = 0.0
    adverse, gross = pd.Series(0.0, index=value.index), pd.Series(0.0, index=value.index)
    for symbol, table in bars.items():
        own = fills[fills["symbol"] == symbol].groupby("at")["size"].sum().cumsum()
        # A fill is at the open, so what is held at a close are the fills before it.
        held = own.reindex(own.index.union(table.index)).ffill().shift(1).reindex(table.index).fillna(0.0)
        fall = held.clip(lower=0) * (table["close"] - table["low"])
        rise = (-held).clip(lower=0) * (table["high"] - table["close"])
        adverse = adverse.add((fall + rise).reindex(value.index).fillna(0.0))
        opened = table.index.to_series() - pd.Timedelta(days=1)
        length = (opened.shift(-1).fillna(table.index[-1]) - opened) / pd.Timedelta(days=1)
        borrowed += ((-held).clip(lower=0) * table["open"] * borrow_rates[symbol] * length / 365).sum()
        last = table["close"].reindex(value.index, method="ffill")
        gross = gross.add((held.reindex(value.index, method="ffill").abs() * last).fillna(0.0))
    peaks = value.cummax().shift(1).clip(lower=cash).fillna(cash)
    closes = (1 - value / value.cummax().clip(lower=cash)).max()
    traded = (fills["size"].abs() * fills["price"]).sum()
    costs, days = fills["cost"].sum() + borrowed, day.nunique()
    year = round((days - 1) / (day.iloc[-1] - day.iloc[0]).days * 365.25)
    return {
        "exposure": (gross / value).mean(),
        "turnover": traded / value.mean() * year / days,
        "max_drawdown_lows": max(closes, (1 - (value - adverse) / peaks).max()),
        "trades": len(fills),
        "rejected": int((orders["status"] == "rejected").sum()),
        "expired": int((orders["status"] == "expired").sum()),
        "costs_paid": costs,
        "break_even_cost_bps": (value.iloc[-1] - cash + costs) / traded * 1e4,
    }


def main():
    export, bars = map(Path, sys.argv[1:])
    result = json.loads((export / "result.json").read_text())
    stated = result["scores"]["student"] | {"days_per_year": result["days_per_year"]}
    wrong = 0
    for key, value in recount(export, bars).items():
        same = stated[key] is not None and abs(stated[key] - value) <= 1e-9 * max(1.0, abs(value))
        wrong += not same
        sys.stdout.write(f"{'' if same else 'DIFFERS '}{key} {stated[key]} {value}\n")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
