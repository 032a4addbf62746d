"""A whole payload of every kind of event, and events as a journal hands them back."""

import json
from datetime import UTC, date, datetime, timedelta

from engine.corporate_actions import ActionKind, Dividend, Split
from engine.fx import FxRates, FxRateSeries
from engine.instruments import DEFAULT_COSTS, AssetClass, Instrument
from engine.journal.canonical import canonical_json
from engine.journal.events import encode, inputs, outputs, sessions, training
from engine.model import Bar, Direction, Forecast, NewsItem, Phase, Precision, Slice
from engine.trading import records
from engine.trading.risk import Command, CommandKind, RiskChange, RiskLimits, RiskState

AT = datetime(2024, 1, 1, tzinfo=UTC)

BAR = Bar(
    symbol="BTC",
    opens_at=AT - timedelta(days=1),
    closes_at=AT,
    open=1.0,
    high=3.0,
    low=1.0,
    close=2.0,
    volume=9.0,
)

NEWS = NewsItem(
    id="n",
    source="wire",
    title="Title",
    text="Text",
    published_at=AT,
    precision=Precision.SECOND,
    zone_known=True,
    first_seen_at=None,
    available_at=AT,
    symbols=frozenset({"BTC"}),
)

SETTINGS = {
    "instruments": {
        "BTC": Instrument(
            symbol="BTC", names=("Bitcoin",), asset_class=AssetClass.COIN, calendar="24/7", currency="USDT"
        )
    },
    "costs": {"BTC": DEFAULT_COSTS[AssetClass.COIN]},
    "calendars": {"24/7": (date(1900, 1, 1), date(2199, 12, 31))},
    "cash": 100.0,
    "sizing": {"risk_aversion": 1.0, "cap": 0.5, "shortable": []},
    "limits": RiskLimits(),
    "start": AT,
    "window": 5,
    "student": "tiny",
    "fingerprint": "f1",
    "deadline": timedelta(seconds=300),
    "late_after": timedelta(seconds=1800),
    "simulated": False,
    "base": None,
    "constants": {},
    "notes": (),
    "about": {},
}

EXAMPLES = (
    sessions.SessionStarted(**SETTINGS),
    sessions.SessionResumed(events=9),
    sessions.SessionStopped(reason="stop requested"),
    inputs.SessionFinished(),
    sessions.SessionScored(result={"verdict": "inconclusive"}),
    sessions.Waiting(awaited="the next input", until=AT, state="active"),
    sessions.ActionAnnounced(action=ActionKind.SPLIT, symbol="BTC", effective_at=AT, value=2.0, author="ann"),
    sessions.Fault(part="student", state="down", reason="it died"),
    sessions.Retrained(due=AT, report={"gated": [], "trained": None}, failed="no disk"),
    sessions.RegistryChanged(
        registry_seq=1,
        registry_chain="c",
        at=AT,
        change="adapter_entered",
        student="s",
        name="a",
        champion=None,
        payload={},
    ),
    inputs.History(symbol="BTC", bars=(BAR,)),
    inputs.Rate(currency="EUR", value=1.1),
    inputs.CalendarExtended(code="XNYS", last=date(2025, 1, 1)),
    inputs.SliceRecord(
        slice=Slice(as_of=AT, phase=Phase.CLOSE, bars={"BTC": BAR}, news=(NEWS,)),
        late=False,
        official={"BTC": 1.0},
        observed={"BTC": (1.0, AT)},
    ),
    inputs.Quotes(quotes={"BTC": (2.5, AT)}),
    inputs.Gap(symbol="BTC", session=(AT, AT + timedelta(days=1)), lacks="bar", reason="late"),
    Command(at=AT, kind=CommandKind.HALT, author="ann", text="lunch"),
    Split(at=AT, symbol="BTC", ratio=2.0),
    Dividend(at=AT, symbol="BTC", amount=0.5),
    inputs.ModelAdopted(fingerprint="f2", name="second", adapter=None),
    inputs.Collecting(since=AT, limits={"grace": 30.0}, sources={"ccxt:binance": "binance"}),
    inputs.Correction(
        symbol="BTC", phase=Phase.OPEN, session=(AT, AT + timedelta(days=1)), was=(None,), now=(1.0,)
    ),
    NEWS,
    inputs.ClockMeasured(source="ccxt:binance", own=AT, exchange=AT, offset_seconds=-0.5, agrees=True),
    inputs.SourceState(source="ccxt:binance", state="down", reason="TimeoutError"),
    inputs.Refused(symbol="BTC", opens_at=AT, reason="high below low"),
    outputs.PredictionRecord(
        call=Forecast(
            symbol="BTC",
            as_of=AT,
            direction=Direction.UP,
            confidence=0.6,
            close=2.0,
            last_close=1.5,
            token_probability_up=0.7,
            text="{}",
        ),
        prompt="p",
        calibrated=True,
    ),
    records.OrderRecord(
        number=1,
        at=AT,
        decided_at=AT,
        due_at=None,
        symbol="BTC",
        size=1.0,
        status=records.OrderStatus.PENDING,
    ),
    records.Fill(
        number=1,
        at=AT,
        decided_at=AT,
        symbol="BTC",
        size=1.0,
        price=2.0,
        open=2.0,
        commission=0.0,
        slippage=0.0,
        cost=0.1,
    ),
    records.EquityPoint(at=AT, value=100.0, cash=50.0),
    records.HoldingPeriod(
        symbol="BTC",
        started_at=AT,
        ended_at=AT + timedelta(days=1),
        position=1.0,
        change=1.0,
        start_price=1.0,
        end_price=2.0,
        price_change=1.0,
        commission=0.0,
        slippage=0.0,
        borrow=0.0,
        cost=0.0,
        pnl=1.0,
        equity=100.0,
        net_return=0.01,
        is_open=False,
    ),
    RiskChange(at=AT, was=RiskState.ACTIVE, now=RiskState.HALTED, cause="halt", author="ann"),
    records.Valuation(at=AT, value=101.0),
    records.SessionSnapshot(
        at=AT, state=RiskState.ACTIVE, cause="", value=100.0, cash=50.0, positions={"BTC": 1.0}, waiting={}
    ),
    sessions.RunStarted(config={"student": "tiny", "symbols": ["BTC"], "cash": 100.0}),
    FxRates(base="USD", series={"EUR": FxRateSeries(known_at=(AT,), values=(1.1,))}),
    sessions.RunSettings(**SETTINGS),
    sessions.Forecasting(done=1, total=2),
    sessions.RunFinished(result={"verdict": "inconclusive"}),
    sessions.RunInterrupted(reason="KeyboardInterrupt"),
    sessions.RunFailed(reason="the disk is full"),
    training.WalkForwardStarted(settings={"method": "grpo"}, folds=({"number": 1},), plan={"student": "f"}),
    training.FoldTrained(
        arm="grpo",
        fold=1,
        champion=None,
        challenger="c",
        cutoff=AT,
        trained_on=5,
        held_out=2,
        clean=True,
        reason=None,
        seconds=1.5,
        figures={},
    ),
    training.FoldGated(
        arm="grpo", fold=1, champion=None, challenger="c", promoted=True, verdict={"p_value": 0.01}
    ),
    training.Promotion(arm="grpo", fold=1, champion=None, challenger="c"),
    training.TrainingLabels(items=5, figures={"reach": 1.0}, arm="sft", fold=1),
    training.TrainingStep(step=1, of=2, figures={"reward": 0.5}, arm="grpo", fold=1),
    training.TrainingLook(step=1, figures={"accuracy": 0.5}, arm="sft", fold=1),
    training.TrainingGuard(step=1, guard="KL", value=None, limit=0.5, done="watched", arm="sft", fold=1),
    training.TrainingDone(clean=False, reason="KL", figures={"seconds": 2.0}, arm="sft", fold=1),
    training.Gated(adapter="a", promoted=False, verdict={"reasons": ["no"]}),
    training.Entered(adapter="a", parent=None, trained_on=5, cutoff=AT, gate_at=AT, scores={"clean": True}),
    training.TrainedByHand(
        run="r",
        method="sft",
        adapter="out",
        fingerprint="f",
        cutoff=AT,
        trained_on=5,
        held_out=2,
        clean=True,
        reason=None,
        figures={},
    ),
    training.AdapterEntered(
        name="a",
        parent=None,
        start="f",
        student="s",
        base=None,
        cutoff=AT,
        recipe={"method": "sft"},
        fingerprint="f",
        scores={},
        identity="i",
    ),
    training.AdapterPromoted(name="a", before=None, by="gate", reason="better", scores={}),
    training.AdapterRejected(name="a", by="gate", reason="worse", scores={}),
    training.AdapterScored(name="a", by="user", scores={"brier": 0.2}),
    training.ChampionRolledBack(name="a", to=None, depth=0, passed_over=(), by="user", reason="worse"),
)

_STORED = {event.kind: canonical_json(event.payload) for event in (encode(each, AT) for each in EXAMPLES)}


def stored_payload(kind, **changes):
    """The example of a kind as a journal hands it back, with some keys changed."""
    return json.loads(_STORED.get(kind, "{}")) | json.loads(canonical_json(changes))
