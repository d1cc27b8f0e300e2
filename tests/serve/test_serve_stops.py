"""A text ends before the first place where a stop begins, wherever its pieces are cut."""

from hypothesis import given
from hypothesis import strategies as st

from rgz.serve.answers import Before

few = st.text("ab。", max_size=12)


def before(text, stops):
    """By the definition, of the whole text."""
    return min((text.partition(stop)[0] for stop in stops), key=len, default=text)


@given(st.lists(few), st.lists(st.text("ab。", min_size=1, max_size=4), max_size=3))
def test_pieces_end_where_the_whole_text_would(pieces, stops):
    text = "".join(pieces)
    taken = Before(pieces, stops)
    given_out = list(taken)
    assert "".join(given_out) == before(text, stops) and all(given_out)
    assert taken.reached == any(stop in text for stop in stops)


def test_only_what_may_be_a_stop_is_held_back():
    arrived = []

    def pieces():
        for piece in ("白日", "依", "山尽", "，黄", "河"):
            arrived.append(piece)
            yield piece

    seen = [(piece, len(arrived)) for piece in Before(pieces(), ["尽。", "河流"])]
    assert seen == [("白日", 1), ("依", 2), ("山", 3), ("尽，黄", 4), ("河", 5)]
