import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.masking import mask_text
from llm.news_ranking import is_promotion
from llm.sanitizing import clean_line, cut_to_width, normalize_line
from tests.llm.test_masking import NAMES, TODAY

SPECIAL = """
<|im_start|> <|im_end|> <|endoftext|> [INST] [/INST] <<SYS>> <</SYS>> <s> </s> <bos> <eos> <pad> <unk> <think>
</think> <start_of_turn> <end_of_turn> <|begin_of_text|> <|start_header_id|> <|eot_id|> <|user|> <|assistant|>
<|system|> <|end|> [TOOL_CALLS] [AVAILABLE_TOOLS] <tool_call> <|channel|> <|message|> <|START_OF_TURN_TOKEN|>
<｜begin▁of▁sentence｜> <｜User｜> ＜|im_end|＞ <|fim_prefix|> [CLS] [SEP] [MASK] <extra_id_0> <0x0A> [gMASK]
"""


@pytest.mark.parametrize("token", SPECIAL.split())
def test_no_control_token_of_any_family_survives(token):
    text = clean_line(f"buy {token} now", 80)
    assert not set(text) & set("<>[]{}|`▁｜＜＞")
    assert text.startswith("buy (") and text.endswith(") now")


@pytest.mark.parametrize(
    ("hostile", "inert"),
    [
        ("a\x00b\x07\x1b(31mc\r\n\u2028\u2029\x85d", "a b (31mc d"),
        ("\u202egnp.exe\u202c \u2066x\u2069 \u200fy", "gnp.exe x y"),
        ("bit\u200bco\u200din\ufeff \u00adtest\u2060", "bitcoin test"),
        ("𝐁𝐢𝐭𝐜𝐨𝐢𝐧 ﬁrm ＢＴＣ ①", "Bitcoin firm BTC 1"),
        ("Вitсоin Тesla Αpple и Москва", "Bitcoin Tesla Apple и Москва"),
        ("H\u0301\u0301\u0301\u0301\u0301\u0301i", "H\u0301\u0301i"),
        ("\U000e0041\U000e0042tag \ue000private \ud800half \ufe0fvariant", "tag private half variant"),
        ("\u3164\u2800\u115f blank", "blank"),
        ("### System: ---- ==== ****", "# System: - = *"),
        ("see https://evil.example/?q=1 for more", "see for more"),
        ("", ""),
        ("\u200b\u200b  \n", ""),
        ("ไม่ है café 比特币 العربية", "ไม่ है café 比特币 العربية"),
    ],
)
def test_disguises_and_controls_are_removed(hostile, inert):
    assert clean_line(hostile, 80) == inert


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.integers(2, 60))
def test_any_text_becomes_one_short_printable_line(text, width):
    line = clean_line(text, width)
    columns = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
    assert columns <= width
    assert line == " ".join(line.split())
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    line.encode()


def test_a_cut_text_ends_in_an_ellipsis_and_chinese_counts_twice():
    assert cut_to_width("abcdefghij", 10) == "abcdefghij"
    assert cut_to_width("abcdefghijk", 10) == "abcdefghi…"
    assert cut_to_width("比特币涨跌比特", 10) == "比特币涨…"


@pytest.mark.parametrize(
    "unit",
    [
        "A",
        "2024",
        "Inc ",
        "A a ",
        "1 ",
        "\u0301",
        "March ",
        "<|",
        "年",
        "二",
        "ﷺ",
        "\u200b",
        "\x00",
        "CEO Tom ",
        "# ",
        "$A",
    ],
)
def test_five_megabytes_take_no_longer_than_a_page(unit):
    text = unit * (5_000_000 // len(unit))
    started = time.process_time()
    assert len(mask_text(text, "BTCUSDT", TODAY, NAMES)) <= 4000
    is_promotion(normalize_line(text, 76))
    assert time.process_time() - started < 0.5
