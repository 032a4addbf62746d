import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StudentError, UsageError
from llm import template_files
from llm.news_ranking import rank_headlines
from llm.prompts import TEMPLATES, find_template
from llm.template_files import list_templates
from llm.text_templates import find_anchor
from tests.support.observations import START, make_bars, make_item, make_observation

NAMES = (("BTC", ("bitcoin",)),)


def whole(template, observation, headlines=12):
    return "\n".join(message["content"] for message in template.messages(observation, headlines))


def user(template, observation, headlines=12):
    return template.messages(observation, headlines)[1]["content"]


def test_the_full_prompt_has_signed_steps_bars_and_counted_headlines():
    seen = make_observation(
        [100.0 + n for n in range(29)] + [100.0], ["Rain", "Bitcoin soars", "Bitcoin falls"]
    )
    text = user(TEMPLATES["full"], seen, 2)
    assert text.split("\n") == [
        "BTC, Tuesday 2024-01-30",
        "Closes, oldest first: " + " ".join(f"{10 * n:+d}" for n in range(29)) + " +0",
        "High, low and volume of the last days:",
        *(f"+{10 * n} +{10 * n} 10" for n in (25, 26, 27, 28)),
        "+0 +0 10",
        "News (2 of 3), most relevant first; * is about BTC:",
        "* Bitcoin falls",
        "* Rain",
    ]


@pytest.mark.parametrize("name", ["full", "append", "indicators"])
@pytest.mark.parametrize("task", ["next", "same-day"])
def test_the_task_comes_first_and_is_the_same_in_all_prompts(name, task):
    template = find_template(name, task)
    first, second = (
        make_observation(),
        make_observation([50.0 + n for n in range(90)], ["News"], symbol="ETH"),
    )
    tasks = {template.messages(seen, 3)[0]["content"] for seen in (first, second)}
    assert len(tasks) == 1
    assert template.messages(first, 3)[0]["role"] == "system"
    assert '{"direction": "up" or "down", "confidence": 0.50 to 1.00, "close": ' in tasks.pop()


@pytest.mark.parametrize("masked", [False, True])
def test_the_append_prompt_begins_with_that_of_the_day_before_until_the_next_anchor(masked):
    template = find_template("append", names=NAMES if masked else None)
    bars = make_bars([100.0 + 7 * (n * n % 13) for n in range(220)])
    anchors, before = 0, ""
    for end in range(template.window, 220):
        observation = replace(
            make_observation(headlines=[f"headline {end}"]),
            bars=bars[end - template.window : end],
            as_of=bars[end - 1].closes_at,
        )
        text = user(template, observation)
        shared, _, question = text.partition("\nNews (")
        assert len(question.split("\n")) == 3
        if not shared.startswith(before):
            anchors += 1
            assert len(shared.split("\n")) == 31
        before = shared
        # A longer window, from an earlier start of the data, makes the same prompt.
        assert user(template, replace(observation, bars=bars[:end])) == text
    assert anchors == 2


def test_the_anchor_follows_from_the_days_and_leaves_the_fewest_bars():
    bars = make_bars([100.0] * 200)
    for end in range(90, 200):
        place = find_anchor(bars[:end], 30, 60)
        assert bars[place].opens_at.date().toordinal() % 60 == 0
        assert 30 <= end - place < 90
    assert find_anchor(bars[:5], 30, 60) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-6, 1e9), min_size=2, max_size=70),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from(["full", "append", "indicators"]),
)
def test_a_same_day_prompt_shows_the_day_but_never_its_close(closes, first, second, name):
    template = find_template(name, "same-day")
    seen = make_observation(closes, ["News"])
    low, high = closes[-1] * 0.5, closes[-1] * 1.5
    asked = [
        replace(
            seen.bars[-1],
            open=(low + high) / 2,
            high=high,
            low=low,
            close=low + share * (high - low),
            volume=3.0,
        )
        for share in (first, second)
    ]
    texts = [whole(template, replace(seen, bars=(*seen.bars[:-1], bar))) for bar in asked]
    assert texts[0] == texts[1]
    assert "open " in texts[0] and " volume 30" in texts[0]


def test_a_scaled_market_gives_the_same_prompt():
    closes = [100.0, 104.0, 99.0, 101.0, 97.0, 103.0, 110.0] * 9
    for name in list_templates():
        small, large = (whole(TEMPLATES[name], make_observation([c * k for c in closes])) for k in (1, 1024))
        assert small == large


def test_extreme_prices_and_volumes_stay_short():
    wild = make_observation([1e-12, 1e12, 1e-12] * 30, volume=0.0)
    for name in list_templates():
        assert max(map(len, user(TEMPLATES[name], wild).split())) <= 12


def rank(*items):
    news = tuple(
        make_item(n, title, START + timedelta(hours=n), symbols) for n, (title, symbols) in enumerate(items)
    )
    return [headline.text for headline in rank_headlines(news, 76)]


def test_own_news_comes_before_market_news_newest_first_and_promotion_last():
    assert rank(
        ("Rates rise", ()),
        ("Bitcoin falls", ("BTC",)),
        ("Sponsored: best 3 coins to buy", ("BTC",)),
        ("Oil rises", ()),
        ("Bitcoin rises", ("BTC",)),
        ("限时优惠,扫码加群", ()),
    ) == [
        "Bitcoin rises",
        "Bitcoin falls",
        "Oil rises",
        "Rates rise",
        "Sponsored: best 3 coins to buy",
        "限时优惠,扫码加群",
    ]


def test_news_of_the_same_words_is_shown_once_and_empty_news_never():
    assert rank(
        ("Bitcoin falls to $30,000", ("BTC",)),
        ("BITCOIN FALLS TO $30,000!", ()),
        ("Bitcoin\u200b falls  to $30,000", ()),
        ("Bitcoin falls to $29,000", ()),
        ("\u200b!?", ()),
        ("", ("BTC",)),
    ) == ["Bitcoin falls to $30,000", "Bitcoin falls to $29,000"]


OWN = """
max_tokens = 300
headlines = 2

[next]
system = "Say up or down for $symbol."
user = '''
$day costs $$5
$closes
$headlines
'''
"""


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_of_the_users_own_is_a_template(tmp_path):
    template = find_template(write(tmp_path, OWN))
    system, shown = template.messages(make_observation((100.0, 101.0), ["News"]), 2)
    assert system["content"] == "Say up or down for BTC."
    assert shown["content"] == "Tuesday 2024-01-02 costs $5\n-10 +0\n* News"
    assert (template.name, template.max_tokens, template.headlines, template.window) == ("mine", 300, 2, 30)


def test_a_file_may_extend_a_template_and_its_digest_follows_its_content(tmp_path):
    shorter = find_template(write(tmp_path, 'extends = "full"\ncloses = 10\nindicators = ["rsi"]'))
    assert (shorter.system, shorter.closes) == (TEMPLATES["full"].system, 10)
    key = shorter.key
    assert (
        find_template(write(tmp_path, '# a note\nextends = "full"\nindicators = ["rsi"]\ncloses = 10')).key
        == key
    )
    assert find_template(write(tmp_path, 'extends = "full"\nindicators = ["rsi"]\ncloses = 11')).key != key
    assert (
        len({find_template(name, task).key for name in list_templates() for task in ("next", "same-day")})
        == 8
    )


def test_the_shipped_files_work_as_the_users_own(tmp_path):
    for path in (Path(template_files.__file__).parent / "templates").glob("*.toml"):
        shutil.copy(path, tmp_path / "copy.toml")
        copied = find_template(str(tmp_path / "copy.toml"))
        assert replace(copied, name=path.stem) == TEMPLATES[path.stem]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[next", "no TOML in UTF-8"),
        ("\udcff", "no TOML in UTF-8"),
        ("x" * 200_000, "more than 100,000 bytes"),
        ("colour = 3", "unknown key 'colour'; a template has max_tokens, headlines"),
        ("closes = 3", r"no table \[next\]; write the texts system and user"),
        (OWN.replace("300", "-1"), "max_tokens is -1; give a whole number from 64 to 1e"),
        (OWN.replace("300", "true"), "max_tokens is True; give a whole number"),
        (
            OWN.replace("headlines = 2", "price_step = nan"),
            "price_step is nan; give a number from 1e-05 to 0.1",
        ),
        (
            OWN.replace("$day", "$date"),
            r"\[next\] user has the unknown placeholder \$date; choose from \$symbol",
        ),
        (OWN.replace("$$5", "$5"), r"\[next\] user has a \$ without a name; write \$\$ for a dollar sign"),
        ('extends = "mine"', "extends 'mine'; choose one of append, brief, full, indicators"),
        ('extends = "full"\nindicators = ["rsj"]', "unknown indicator 'rsj'; choose from ma5"),
        ('extends = "full"\nindicators = "rsi"', "indicators is 'rsi'; give a list of names"),
        ("[next]\nsystem = 'a'\nuser = 3", r"\[next\] user is 3; give a text"),
        ("[next]\nsystem = 'a'\nuser = ' '", r"\[next\] user is empty; write what the model is shown"),
        ("[next]\nsystem = 'a'", r"\[next\] must have the two texts system and user, and nothing else"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StudentError, match=reason) as refused:
        find_template(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_what_is_no_template_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(UsageError, match=r"unknown prompt template 'ful': did you mean full\?"):
        find_template("ful")
    with pytest.raises(UsageError, match="cannot read the template: No such file"):
        find_template(str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match="cannot read the template"):
        find_template(str(tmp_path) + "/")
    with pytest.raises(StudentError, match=r"no table \[same-day\]"):
        find_template(write(tmp_path, OWN), "same-day")
    with pytest.raises(UsageError, match="compact has no task same-day; use --prompt brief, full"):
        find_template("compact", "same-day")
