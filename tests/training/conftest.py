import pytest

from engine.timeline import build_observations
from strategies.instrument_settings import build_costs
from strategies.market_data import load_market_data
from strategies.sizing import build_sizing
from tests.support.walks import MARKET
from training.dataset.experience import build_experiences


@pytest.fixture(scope="session")
def all_experiences(tmp_path_factory):
    """Every experience of the walk-forward tests' market."""
    data = load_market_data(MARKET, tmp_path_factory.mktemp("data"))
    return build_experiences(
        build_observations(data.bars, data.news, window=21, start=data.start),
        data.bars,
        instruments=data.instruments,
        calendars=data.calendars,
        costs=build_costs(MARKET, data.instruments),
        sizing=build_sizing(MARKET, data.instruments),
    )
