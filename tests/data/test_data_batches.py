"""Batches: every target exactly once an epoch in every mode, the same for the same seed, within the plan."""

import itertools
import tracemalloc
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgz.data import Batches, TokenData, require_one_sequence
from rgz.errors import RgzError

MODES = [
    {"packing": packing, "group_by_length": grouped, "shuffle": shuffle}
    for packing, grouped, shuffle in itertools.product((True, False), repeat=3)
]


def token_data(lengths, mask=None):
    """Documents whose ids are all different: an id is its own position."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenData(np.arange(offsets[-1], dtype=np.int32), offsets, mask)


def expected_pairs(data):
    """Return every (input, target) that an epoch has to show, by walking through the documents."""
    pairs = []
    for begin, end in itertools.pairwise(data.offsets.tolist()):
        for position in range(begin + 1, end):
            if data.mask is None or data.mask[position]:
                pairs.append((int(data.ids[position - 1]), int(data.ids[position])))
    return Counter(pairs)


def shown_pairs(batches):
    return Counter(
        pair
        for batch in batches
        for pair in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True)
        if pair[1] != -100
    )


lengths_of_documents = st.lists(st.integers(0, 40) | st.integers(2, 6), min_size=1, max_size=25)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_target_is_shown_exactly_once_an_epoch(mode):
    @settings(max_examples=60)
    @given(lengths_of_documents, st.integers(1, 5), st.integers(1, 17), st.integers(0, 3), st.integers(0, 2**64))
    def check(lengths, batch_size, max_length, epoch, bits):
        positions = sum(lengths)
        random = np.random.default_rng(bits)
        mask = None if bits % 3 == 0 else (random.random(positions) < 0.4).astype(np.uint8)
        data = token_data(lengths, mask)
        expected = expected_pairs(data)
        if not expected:
            with pytest.raises(RgzError, match="no token to learn from"):
                Batches(data, batch_size, max_length, seed=bits, **mode)
            return
        batches = Batches(data, batch_size, max_length, seed=bits, **mode)
        epoch_batches = list(batches.epoch(epoch))
        assert shown_pairs(epoch_batches) == expected
        assert len(epoch_batches) == len(batches)
        assert sum(batch.n_targets for batch in epoch_batches) == data.n_targets == expected.total()
        for batch in epoch_batches:
            check_shape(batch, batches, max_length)
            if mode["packing"]:
                assert len(batch.tokens) <= batch_size * max_length
            else:
                assert batch.n_sequences <= batch_size

    check()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_batches_by_tokens_show_every_target_once_too(mode):
    @settings(max_examples=60)
    @given(lengths_of_documents, st.integers(1, 40), st.integers(1, 17), st.integers(0, 3), st.integers(0, 2**64))
    def check(lengths, batch_tokens, max_length, epoch, bits):
        data = token_data(lengths)
        expected = expected_pairs(data)
        longest = min(max(lengths) - 1, max_length)
        if not expected or batch_tokens < longest:
            with pytest.raises(RgzError, match=f"at least {longest}, the longest" if expected else "no token"):
                Batches(data, 1, max_length, batch_tokens=batch_tokens, seed=bits, **mode)
            return
        batches = Batches(data, 1, max_length, batch_tokens=batch_tokens, seed=bits, **mode)
        epoch_batches = list(batches.epoch(epoch))
        assert shown_pairs(epoch_batches) == expected
        assert len(epoch_batches) == len(batches)
        for batch in epoch_batches:
            check_shape(batch, batches, max_length)
            assert len(batch.tokens) <= batch_tokens

    check()


def test_batches_by_tokens_are_full_whatever_the_lengths():
    lengths = np.random.default_rng(1).integers(5, 60, 1500).tolist()
    for mode in ({"packing": False}, {"packing": True}, {"group_by_length": True}):
        rows = [len(batch.tokens) for batch in Batches(token_data(lengths), 1, 128, batch_tokens=2048, **mode).epoch(0)]
        assert np.mean(rows[:-1]) > 0.95 * 2048


def check_shape(batch, batches, max_length):
    rows = np.diff(batch.cu_seqlens)
    assert batch.tokens.dtype == batch.targets.dtype == batch.cu_seqlens.dtype == np.int32
    assert batch.cu_seqlens[0] == 0 and batch.cu_seqlens[-1] == len(batch.tokens) == len(batch.targets)
    assert len(rows) == batch.n_sequences and rows.min() >= 1 and rows.max() <= max_length
    assert batch.n_targets == np.count_nonzero(batch.targets != -100) >= 1
    assert len(batch.tokens) <= batches.max_rows and batch.n_sequences <= batches.max_seqs
    for begin, end in itertools.pairwise(batch.cu_seqlens.tolist()):  # ids are positions: pieces are contiguous
        assert (np.diff(batch.tokens[begin:end]) == 1).all()
        counted = batch.targets[begin:end] != -100
        assert (batch.targets[begin:end][counted] == batch.tokens[begin:end][counted] + 1).all()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_the_plan_for_memory_is_not_larger_than_some_epoch_can_need(mode):
    lengths = [3, 3, 4, 9, 9, 2, 2, 2, 30]
    batches = Batches(token_data(lengths), 2, 8, **mode)
    drawn = [batch for epoch in range(600) for batch in batches.epoch(epoch)]
    assert max(len(batch.tokens) for batch in drawn) == batches.max_rows
    assert max(batch.n_sequences for batch in drawn) == batches.max_seqs


def in_full(batches):
    return [(b.tokens.tolist(), b.targets.tolist(), b.cu_seqlens.tolist(), b.n_targets) for b in batches]


RANDOM = np.random.default_rng(0)
LENGTHS = RANDOM.integers(2, 40, 200).tolist()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_an_epoch_is_a_pure_function_of_seed_and_number(mode):
    def epoch(seed, number):
        return in_full(Batches(token_data(LENGTHS), 4, 16, seed=seed, **mode).epoch(number))

    batches = Batches(token_data(LENGTHS), 4, 16, seed=5, **mode)
    in_any_order = {number: in_full(batches.epoch(number)) for number in (3, 0, 1)}
    for number, got in in_any_order.items():
        assert got == epoch(5, number)
    kinds = [in_any_order[0], in_any_order[1], epoch(6, 0)]
    assert (kinds[0] != kinds[1] and kinds[0] != kinds[2]) == mode["shuffle"]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_batch_by_number_is_the_one_of_the_epoch(mode):
    batches = Batches(token_data(LENGTHS), 4, 16, seed=5, **mode)
    epoch = in_full(batches.epoch(2))
    for number in (len(batches) - 1, 0, len(batches) // 2):
        other = Batches(token_data(LENGTHS), 4, 16, seed=5, **mode)
        assert in_full([other.batch(2, number)]) == [epoch[number]]
    for wrong in (-1, len(batches)):
        with pytest.raises(IndexError):
            batches.batch(0, wrong)


def test_the_order_is_the_same_on_every_machine_and_version():
    """Written down once: a run begun with one version of NumPy or rgz goes on with another."""
    got = Batches(token_data([2] * 8), 8, 1, packing=False, seed=1).batch(3, 0)
    assert got.tokens.tolist() == [0, 10, 2, 4, 12, 14, 8, 6]


def test_epochs_differ_and_every_piece_gets_everywhere():
    batches = Batches(token_data([2] * 6), 2, 1, packing=False, seed=0)
    first = {batches.batch(epoch, 0).tokens[0] for epoch in range(60)}
    assert first == {0, 2, 4, 6, 8, 10}


def test_packed_batches_are_full_and_alike():
    lengths = np.random.default_rng(1).integers(5, 60, 1500).tolist()
    batches = Batches(token_data(lengths), 16, 128, packing=True)
    rows = [len(batch.tokens) for batch in batches.epoch(0)]
    assert np.mean(rows) > 0.95 * 16 * 128
    assert max(rows) - min(rows) <= 58  # the bound of dealing: longest minus shortest piece


def test_packed_batches_mix_other_pieces_in_every_epoch():
    lengths = list(range(10, 60))  # all different: equal lengths could be swapped even with fixed company
    batches = Batches(token_data(lengths), 4, 60)

    def company(epoch):
        return {frozenset(b.tokens[b.cu_seqlens[:-1]].tolist()) for b in batches.epoch(epoch)}

    assert len(company(0) & company(1)) < len(batches) / 2


def test_grouped_batches_hold_pieces_of_like_length_in_random_order():
    batches = Batches(token_data(LENGTHS), 8, 64, packing=False, group_by_length=True)
    epoch = list(batches.epoch(0))
    spans = sorted((min(np.diff(b.cu_seqlens)), max(np.diff(b.cu_seqlens))) for b in epoch)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    longest = [int(np.diff(b.cu_seqlens).max()) for b in epoch]
    assert longest not in (sorted(longest), sorted(longest)[::-1])


@pytest.mark.parametrize("packing", [False, True])
def test_every_length_comes_as_early_as_any_other_in_grouped_batches(packing):
    """Long ones always first would train on them at another learning rate than on short ones."""
    batches = Batches(token_data(LENGTHS), 8, 64, packing=packing, group_by_length=True)
    n, epochs = len(batches), 400
    longest, shortest = max(LENGTHS) - 1, min(LENGTHS) - 1
    for rows in (longest, shortest):
        places = [
            next(i for i, b in enumerate(batches.epoch(epoch)) if rows in np.diff(b.cu_seqlens))
            for epoch in range(epochs)
        ]
        alike = sum(rows in np.diff(b.cu_seqlens) for b in batches.epoch(0))
        expected = (n - alike) / (alike + 1)  # the first of `alike` out of n in random order
        assert abs(np.mean(places) - expected) < 5 * n / np.sqrt(12 * epochs)  # five deviations of a uniform one


def test_without_shuffling_documents_keep_their_order():
    batches = Batches(token_data(LENGTHS), 4, 16, shuffle=False)
    tokens = np.concatenate([batch.tokens for batch in batches.epoch(0)])
    assert (np.diff(tokens) > 0).all()


def test_pieces_without_a_target_that_counts_are_left_out():
    mask = np.zeros(30, np.uint8)
    mask[[5, 29]] = 1
    batches = Batches(token_data([10, 10, 10], mask), 8, 3)
    [batch] = batches.epoch(0)
    assert batch.n_sequences == batch.n_targets == 2


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_length": 0}, {"batch_tokens": 0}])
def test_sizes_below_one_are_refused(wrong):
    with pytest.raises(RgzError, match="must be at least 1, got 0"):
        Batches(token_data([5]), **{"batch_size": 2, "max_length": 2, **wrong})


def test_text_that_does_not_fill_one_sequence_can_be_refused():
    require_one_sequence(token_data([5, 5]), 8)
    with pytest.raises(RgzError, match="too short for one sequence: 8 tokens, max_length is 9"):
        require_one_sequence(token_data([5, 5]), 9)


def test_memory_does_not_grow_with_the_steps():
    data = token_data(LENGTHS * 5)
    batches = Batches(data, 16, 32)
    size = sum(batch.tokens.nbytes for batch in batches.epoch(0))
    tracemalloc.start()
    try:
        deque(batches.epoch(1), maxlen=1)
        before = tracemalloc.get_traced_memory()[0]
        for epoch in range(2, 12):
            deque(batches.epoch(epoch), maxlen=1)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < size / 2  # ten epochs of batches kept would be 20 times `size`
