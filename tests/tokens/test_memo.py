"""What is remembered, is remembered for a while, in bounds."""

from gateway.tokens.memo import Memo


def test_a_memo_forgets_the_oldest_when_full_and_all_in_time():
    memo = Memo(limit=2)
    memo.put(b"a", 1, 10.0)
    memo.put(b"b", 2, 10.0)
    memo.put(b"a", 3, 20.0)
    memo.put(b"c", 4, 10.0)
    assert (memo.get(b"a", 0), memo.get(b"b", 0), memo.get(b"c", 0)) == (3, None, 4)
    assert memo.get(b"c", 10.0) is None
    assert len(memo) == 1
    memo.clear()
    assert memo.get(b"a", 0) is None
