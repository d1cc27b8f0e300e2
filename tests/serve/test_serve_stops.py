"""A text ends before the stop that is complete first, wherever its pieces are cut."""

from hypothesis import example, given
from hypothesis import strategies as st

from rgz.serve.answers import Before

few = st.text("ab。", max_size=12)


def before(text, stops):
    """By the definition, of the whole text."""
    for end in range(len(text) + 1):
        if ending := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, ending))]
    return text


@example(["。", "b", "b"], ["b", "。bb"])  # the second begins before the first, and is complete after it
@example(["。b"], ["b", "。b"])
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
