"""A whole payload of every kind of event, and events as a journal hands them back."""

import json
from datetime import UTC, date, datetime, timedelta

from engine.corporate_actions import ActionKind, Dividend, Split
from engine.fx import FxRates, FxRateSeries
from engine.instruments import DEFAULT_COSTS, AssetClass, Instrument
from engine.journal.canonical import canonical_json
from engine.journal.events import encode
from engine.journal.events.inputs import (
    CalendarExtended,
    ClockMeasured,
    Collecting,
    Correction,
    Gap,
    History,
    ModelAdopted,
    Quotes,
    Rate,
    Refused,
    SessionFinished,
    SliceRecord,
    SourceState,
)
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import (
    ActionAnnounced,
    Fault,
    Forecasting,
    RegistryChanged,
    Retrained,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunSettings,
    RunStarted,
    SessionResumed,
    SessionScored,
    SessionStarted,
    SessionStopped,
    Waiting,
)
from engine.journal.events.training import (
    AdapterEntered,
    AdapterPromoted,
    AdapterRejected,
    AdapterScored,
    ChampionRolledBack,
    Entered,
    FoldGated,
    FoldTrained,
    Gated,
    Promotion,
    TrainedByHand,
    TrainingDone,
    TrainingGuard,
    TrainingLabels,
    TrainingLook,
    TrainingStep,
    WalkForwardStarted,
)
from engine.model import Bar, Direction, Forecast, NewsItem, Phase, Precision, Slice
from engine.trading.records import (
    EquityPoint,
    Fill,
    HoldingPeriod,
    OrderRecord,
    OrderStatus,
    SessionSnapshot,
    Valuation,
)
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
    SessionStarted(**SETTINGS),
    SessionResumed(events=9),
    SessionStopped(reason="stop requested"),
    SessionFinished(),
    SessionScored(result={"verdict": "inconclusive"}),
    Waiting(awaited="the next input", until=AT, state="active"),
    ActionAnnounced(action=ActionKind.SPLIT, symbol="BTC", effective_at=AT, value=2.0, author="ann"),
    Fault(part="student", state="down", reason="it died"),
    Retrained(due=AT, report={"gated": [], "trained": None}, failed="no disk"),
    RegistryChanged(
        registry_seq=1,
        registry_chain="c",
        at=AT,
        change="adapter_entered",
        student="s",
        name="a",
        champion=None,
        payload={},
    ),
    History(symbol="BTC", bars=(BAR,)),
    Rate(currency="EUR", value=1.1),
    CalendarExtended(code="XNYS", last=date(2025, 1, 1)),
    SliceRecord(
        slice=Slice(as_of=AT, phase=Phase.CLOSE, bars={"BTC": BAR}, news=(NEWS,)),
        late=False,
        official={"BTC": 1.0},
        observed={"BTC": (1.0, AT)},
    ),
    Quotes(quotes={"BTC": (2.5, AT)}),
    Gap(symbol="BTC", session=(AT, AT + timedelta(days=1)), lacks="bar", reason="late"),
    Command(at=AT, kind=CommandKind.HALT, author="ann", text="lunch"),
    Split(at=AT, symbol="BTC", ratio=2.0),
    Dividend(at=AT, symbol="BTC", amount=0.5),
    ModelAdopted(fingerprint="f2", name="second", adapter=None),
    Collecting(since=AT, limits={"grace": 30.0}, sources={"ccxt:binance": "binance"}),
    Correction(symbol="BTC", phase=Phase.OPEN, session=(AT, AT + timedelta(days=1)), was=(None,), now=(1.0,)),
    NEWS,
    ClockMeasured(source="ccxt:binance", own=AT, exchange=AT, offset_seconds=-0.5, agrees=True),
    SourceState(source="ccxt:binance", state="down", reason="TimeoutError"),
    Refused(symbol="BTC", opens_at=AT, reason="high below low"),
    PredictionRecord(
        call=Forecast(
            symbol="BTC",
            as_of=AT,
            direction=Direction.UP,
            confidence=0.6,
            close=2.0,
            last_close=1.5,
            text="{}",
        ),
        prompt="p",
    ),
    OrderRecord(
        number=1, at=AT, decided_at=AT, due_at=None, symbol="BTC", size=1.0, status=OrderStatus.PENDING
    ),
    Fill(
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
    EquityPoint(at=AT, value=100.0, cash=50.0),
    HoldingPeriod(
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
    Valuation(at=AT, value=101.0),
    SessionSnapshot(
        at=AT, state=RiskState.ACTIVE, cause="", value=100.0, cash=50.0, positions={"BTC": 1.0}, waiting={}
    ),
    RunStarted(config={"student": "tiny", "symbols": ["BTC"], "cash": 100.0}),
    FxRates(base="USD", series={"EUR": FxRateSeries(known_at=(AT,), values=(1.1,))}),
    RunSettings(**SETTINGS),
    Forecasting(done=1, total=2),
    RunFinished(result={"verdict": "inconclusive"}),
    RunInterrupted(reason="KeyboardInterrupt"),
    RunFailed(reason="the disk is full"),
    WalkForwardStarted(settings={"method": "grpo"}, folds=({"number": 1},), plan={"student": "f"}),
    FoldTrained(
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
    FoldGated(arm="grpo", fold=1, champion=None, challenger="c", promoted=True, verdict={"p_value": 0.01}),
    Promotion(arm="grpo", fold=1, champion=None, challenger="c"),
    TrainingLabels(items=5, figures={"reach": 1.0}, arm="sft", fold=1),
    TrainingStep(step=1, of=2, figures={"reward": 0.5}, arm="grpo", fold=1),
    TrainingLook(step=1, figures={"accuracy": 0.5}, arm="sft", fold=1),
    TrainingGuard(step=1, guard="KL", value=None, limit=0.5, done="watched", arm="sft", fold=1),
    TrainingDone(clean=False, reason="KL", figures={"seconds": 2.0}, arm="sft", fold=1),
    Gated(adapter="a", promoted=False, verdict={"reasons": ["no"]}),
    Entered(adapter="a", parent=None, trained_on=5, cutoff=AT, gate_at=AT, scores={"clean": True}),
    TrainedByHand(
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
    AdapterEntered(
        name="a",
        parent=None,
        student="s",
        base=None,
        cutoff=AT,
        recipe={"method": "sft"},
        fingerprint="f",
        scores={},
        identity="i",
    ),
    AdapterPromoted(name="a", before=None, by="gate", reason="better", scores={}),
    AdapterRejected(name="a", by="gate", reason="worse", scores={}),
    AdapterScored(name="a", by="user", scores={"brier": 0.2}),
    ChampionRolledBack(name="a", to=None, depth=0, passed_over=(), by="user", reason="worse"),
)

_STORED = {event.kind: canonical_json(event.payload) for event in (encode(each, AT) for each in EXAMPLES)}


def stored_payload(kind, **changes):
    """The example of a kind as a journal hands it back, with some keys changed."""
    return json.loads(_STORED.get(kind, "{}")) | json.loads(canonical_json(changes))
