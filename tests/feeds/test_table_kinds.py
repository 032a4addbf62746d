import pytest

from engine.errors import DataError
from feeds.files.kinds import identify_table
from tests.support.tables_on_disk import write_lines


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("date,open,high,low,close,volume", "bars"),
        ("Volume,Close,Low,High,Open,Date,note", "bars"),
        ("Date,Price,Open,High,Low,Vol.,Change %", "bars"),
        ("published_at,source,symbols,title,text", "news"),
    ],
)
def test_a_table_is_identified_by_its_columns(tmp_path, header, kind):
    assert identify_table(write_lines(tmp_path / "table.csv", [header])) == kind


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("date,open,high,close,volume", "bars lack the column low; found 'date', 'open'"),
        ("published_at,source,title,text", "news lack the column symbols; found 'published_at'"),
        ("a,b", "found 'a', 'b'; name the columns"),
    ],
)
def test_a_table_that_is_neither_is_refused_with_its_columns_and_a_remedy(tmp_path, header, complaint):
    path = write_lines(tmp_path / "table.csv", [header])
    with pytest.raises(DataError, match="neither bars nor news") as caught:
        identify_table(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)
