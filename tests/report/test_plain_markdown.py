import pytest

from sdtune.report.plain_markdown import code, fenced, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cosine_with_warmup, 1e-4", "cosine_with_warmup, 1e-4"),
        ("<b> & |\\n", "&lt;b> &amp; \\|\\\\n"),
        ("![x](http://a)\n# b", "!\\[x\\](http://a) # b"),
        ("_a_ *b* `c` $d$ ~e~", "\\_a\\_ \\*b\\* \\`c\\` \\$d\\$ \\~e\\~"),
    ],
)
def test_words_are_words(text, shown):
    assert plain(text) == shown


def test_code_ends_where_it_should():
    assert code("<robot>") == "`<robot>`"
    assert code("a `` b\n<i>") == "```a `` b <i>```"
    assert code("`a`") == "`` `a` ``"
    assert fenced("# a", "python") == "```python\n# a\n```"
    assert fenced("a\n```\n<b>") == "````\na\n```\n<b>\n````"
