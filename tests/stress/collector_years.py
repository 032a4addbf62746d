"""Three years of real bars, collected under faults, for a bench; prints what was journaled as JSON."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import date

from tests.support.collector_trial import file_market, try_collector
from tests.support.places import SHARED_DATA

FILES = (
    "coins_binance_daily/BTCUSDT.csv",
    "coins_binance_daily/ETHUSDT.csv",
    "us_stocks_daily/AAPL.csv",
    "us_stocks_daily/SPY.csv",
    "cn_stocks_raw/600000.csv",
    "cn_stocks_raw/600519.csv",
)


def main() -> None:
    """Run the trial of each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    for seed in parser.parse_args().seeds:
        market = file_market(
            [SHARED_DATA / file for file in FILES], date(2019, 1, 1), date(2021, 12, 31), seed=seed
        )
        sys.stdout.write(json.dumps(asdict(try_collector(market, seed=seed)), indent=2) + "\n")


if __name__ == "__main__":
    main()
