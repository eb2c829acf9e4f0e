"""The simulated platform's ledger: players, balances, and transactions that count once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What moves money."""

    BET = "bet"
    WIN = "win"
    ROLLBACK = "rollback"


@dataclass(slots=True)
class Player:
    """Somebody who plays."""

    id: str
    balance: int
    """Minor units of `currency`."""
    currency: str = "EUR"
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Movement:
    """What a provider asks for. Two movements with one transaction id must be equal in every field."""

    kind: Kind
    player: str
    transaction: str
    amount: int = 0
    """Minor units, never negative; 0 for a rollback, which takes the bet's own amount."""
    currency: str = ""
    """Empty where the provider's rollback names none."""
    reference: str = ""
    """The transaction that a rollback undoes."""
    round: str = ""
    game: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a movement, or the question for the balance, came to."""

    player: str
    balance: int
    currency: str
    transaction: str = ""
    duplicate: bool = False
    """The transaction was done before: nothing moved now."""


class WalletError(Exception):
    """The wallet says no; `balance` (minor units) is told where the player is known."""

    def __init__(self, code: str, text: str, player: Player | None = None) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.balance = player.balance if player else None
        self.currency = player.currency if player else None


class Wallet:
    """Balances and every movement so far, all in memory."""

    def __init__(self, players: list[Player] | None = None) -> None:
        self._players = {player.id: player for player in (demo_players() if players is None else players)}
        self._done: dict[str, Movement] = {}
        self._cancelled: set[str] = set()
        """Bets that were rolled back, among them bets that never arrived: those must not stand later."""

    def player(self, player_id: str) -> Player:
        """Raises `WalletError` PLAYER_UNKNOWN."""
        player = self._players.get(player_id)
        if player is None:
            raise WalletError("PLAYER_UNKNOWN", f"nobody is called {player_id!r}")
        return player

    def balance(self, player_id: str) -> Receipt:
        """What the player has."""
        player = self.player(player_id)
        return Receipt(player.id, player.balance, player.currency)

    def move(self, wanted: Movement) -> Receipt:
        """Carry a movement out, once. Raises `WalletError`; then no balance has changed."""
        player = self.player(wanted.player)
        if not wanted.transaction:
            raise WalletError("MALFORMED", "the transaction has no id", player)
        before = self._done.get(wanted.transaction)
        if before is not None:
            if before != wanted:
                raise WalletError(
                    "TX_REUSED", f"{wanted.transaction!r} was a {before.kind} with other data", player
                )
            return Receipt(player.id, player.balance, player.currency, wanted.transaction, duplicate=True)
        if wanted.currency not in {"", player.currency}:
            raise WalletError("WRONG_CURRENCY", f"the wallet is kept in {player.currency}", player)
        if wanted.amount < 0:
            raise WalletError("WRONG_AMOUNT", "an amount is never negative", player)
        match wanted.kind:
            case Kind.BET:
                change = self._bet(player, wanted)
            case Kind.WIN:
                change = wanted.amount
            case Kind.ROLLBACK:
                change = self._rollback(player, wanted)
        player.balance += change
        self._done[wanted.transaction] = wanted
        return Receipt(player.id, player.balance, player.currency, wanted.transaction)

    def _bet(self, player: Player, wanted: Movement) -> int:
        if wanted.transaction in self._cancelled:
            raise WalletError("TX_CANCELLED", "the bet was rolled back before it arrived", player)
        if player.blocked:
            raise WalletError("PLAYER_BLOCKED", f"{player.id} may not bet", player)
        if wanted.amount > player.balance:
            raise WalletError("NO_FUNDS", f"{player.id} has only {player.balance}", player)
        return -wanted.amount

    def _rollback(self, player: Player, wanted: Movement) -> int:
        if wanted.reference in self._cancelled and wanted.reference in self._done:
            return 0
        bet = self._done.get(wanted.reference)
        if bet is None:
            self._cancelled.add(wanted.reference)
            raise WalletError("TX_UNKNOWN", f"no bet {wanted.reference!r} was seen", player)
        if bet.kind is not Kind.BET or bet.player != player.id:
            raise WalletError("TX_FINAL", f"{wanted.reference!r} is no bet of {player.id}", player)
        self._cancelled.add(wanted.reference)
        return bet.amount


def demo_players() -> list[Player]:
    """Who plays in the demo: one with money, one with little, one blocked, one with another currency."""
    return [
        Player("alice", 100_000),
        Player("bob", 250),
        Player("mallory", 50_000, blocked=True),
        Player("sven", 1_000_000, "SEK"),
    ]
