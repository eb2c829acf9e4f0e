"""The ledger: everything counts once, and nothing counts that was refused."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.sandbox.wallet import Kind, Movement, Player, Wallet, WalletError


def make(balance: int = 1000) -> Wallet:
    return Wallet([Player("ada", balance), Player("eve", 500), Player("bad", 500, blocked=True)])


def bet(transaction: str, amount: int = 100, player: str = "ada", currency: str = "EUR") -> Movement:
    return Movement(Kind.BET, player, transaction, amount, currency)


def win(transaction: str, amount: int = 100, player: str = "ada") -> Movement:
    return Movement(Kind.WIN, player, transaction, amount, "EUR")


def rollback(transaction: str, reference: str, player: str = "ada") -> Movement:
    return Movement(Kind.ROLLBACK, player, transaction, reference=reference)


def refused(wallet: Wallet, wanted: Movement) -> str:
    with pytest.raises(WalletError) as caught:
        wallet.move(wanted)
    return caught.value.code


def test_bet_win_rollback() -> None:
    wallet = make()
    assert wallet.move(bet("b1")).balance == 900
    assert wallet.move(win("w1", 250)).balance == 1150
    assert wallet.move(rollback("r1", "b1")).balance == 1250
    assert wallet.balance("ada").balance == 1250


def test_the_whole_balance_may_go_and_a_zero_bet_moves_nothing() -> None:
    wallet = make()
    assert wallet.move(bet("b1", 1000)).balance == 0
    assert wallet.move(bet("b2", 0)).balance == 0
    assert refused(wallet, bet("b3", 1)) == "NO_FUNDS"


def test_the_same_movement_again_is_a_duplicate() -> None:
    wallet = make()
    assert not wallet.move(bet("b1")).duplicate
    for movement in (bet("b1"), bet("b1")):
        receipt = wallet.move(movement)
        assert receipt.duplicate
        assert receipt.balance == 900


@pytest.mark.parametrize("other", [bet("t", 101), bet("t", player="eve"), win("t"), rollback("t", "b0")])
def test_an_id_used_for_something_else_is_a_conflict(other: Movement) -> None:
    wallet = make()
    wallet.move(bet("t"))
    assert refused(wallet, other) == "TX_REUSED"
    assert wallet.balance("ada").balance == 900


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (bet("t", 1001), "NO_FUNDS"),
        (bet("t", -1), "WRONG_AMOUNT"),
        (bet("t", currency="SEK"), "WRONG_CURRENCY"),
        (bet("t", player="nobody"), "PLAYER_UNKNOWN"),
        (bet("t", player="bad"), "PLAYER_BLOCKED"),
        (bet(""), "MALFORMED"),
        (rollback("t", "unheard-of"), "TX_UNKNOWN"),
    ],
)
def test_refusals_move_nothing_and_use_no_id_up(wanted: Movement, code: str) -> None:
    wallet = make()
    assert refused(wallet, wanted) == code
    assert wallet.balance("ada").balance == 1000
    assert wallet.move(bet("t")).balance == 900


def test_a_blocked_player_still_gets_wins() -> None:
    assert make().move(win("w1", 100, "bad")).balance == 600


def test_a_bet_is_rolled_back_once_whatever_the_rollbacks_id() -> None:
    wallet = make()
    wallet.move(bet("b1"))
    assert wallet.move(rollback("r1", "b1")).balance == 1000
    assert wallet.move(rollback("r2", "b1")).balance == 1000
    assert wallet.move(rollback("r1", "b1")).duplicate


def test_a_rollback_that_overtakes_its_bet_voids_it() -> None:
    wallet = make()
    assert refused(wallet, rollback("r1", "late")) == "TX_UNKNOWN"
    assert refused(wallet, rollback("r1", "late")) == "TX_UNKNOWN"
    assert refused(wallet, bet("late")) == "TX_CANCELLED"
    assert wallet.balance("ada").balance == 1000


def test_only_ones_own_bets_are_rolled_back() -> None:
    wallet = make()
    wallet.move(win("w1"))
    wallet.move(bet("b1", player="eve"))
    assert refused(wallet, rollback("r1", "w1")) == "TX_FINAL"
    assert refused(wallet, rollback("r2", "b1")) == "TX_FINAL"


def test_an_error_tells_the_real_balance() -> None:
    with pytest.raises(WalletError) as caught:
        make().move(bet("t", 5000))
    assert (caught.value.balance, caught.value.currency) == (1000, "EUR")


class Ledger(RuleBasedStateMachine):
    """Whatever is asked in whatever order, the balance is the sum of the bets that stand and the wins."""

    def __init__(self) -> None:
        super().__init__()
        self.wallet = make(300)
        self.bets: dict[str, int] = {}
        self.wins: dict[str, int] = {}
        self.undone: set[str] = set()

    @rule(number=st.integers(0, 3), amount=st.integers(0, 150))
    def bet(self, number: int, amount: int) -> None:
        try:
            receipt = self.wallet.move(bet(f"b{number}", amount))
        except WalletError:
            return
        assert receipt.duplicate == (f"b{number}" in self.bets)
        self.bets.setdefault(f"b{number}", amount)

    @rule(number=st.integers(0, 3), amount=st.integers(0, 150))
    def win(self, number: int, amount: int) -> None:
        try:
            self.wallet.move(win(f"w{number}", amount))
        except WalletError:
            return
        self.wins.setdefault(f"w{number}", amount)

    @rule(number=st.integers(0, 3), reference=st.integers(0, 3))
    def rollback(self, number: int, reference: int) -> None:
        try:
            self.wallet.move(rollback(f"r{number}", f"b{reference}"))
        except WalletError as error:
            if error.code == "TX_UNKNOWN":
                self.undone.add(f"b{reference}")
            return
        self.undone.add(f"b{reference}")

    @invariant()
    def the_balance_is_what_stands(self) -> None:
        standing = sum(amount for name, amount in self.bets.items() if name not in self.undone)
        assert self.wallet.balance("ada").balance == 300 - standing + sum(self.wins.values()) >= 0


TestLedger = Ledger.TestCase
