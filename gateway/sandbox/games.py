"""The games of the two simulated providers. All of them are made up."""

from __future__ import annotations

from dataclasses import dataclass

AURORA_TITLES = (
    "Northern Spins", "Glacier Gold", "Polar Panther", "Fjord Fortune", "Midnight Sun", "Reindeer Riches",
    "Solar Flare", "Icebreaker Deluxe", "Magnetic Storm", "Arctic Fox Trot", "Green Curtain",
    "Snow Owl Nights", "Lapland Lanterns", "Whale Song", "Frozen Falls", "Amber Coast", "Silver Birch",
    "Comet Chaser", "Aurora Roulette", "Aurora Blackjack",
)  # fmt: skip
BOREALIS_TITLES = (
    "Bear Market", "Taiga Treasure", "Wolf and Moon", "Cloudberry Crush", "Runestone Riddle", "Longship Luck",
    "Thunder Drums", "Pine Cone Pirates", "Salmon Leap", "Moose Parade", "Spruce Lee", "Hidden Hearth",
    "Boreal Bingo", "Lynx Links", "Moss and Magic", "Snowdrift Dice", "Timber Towers", "Elk Express",
    "Borealis Baccarat", "Borealis Poker",
)  # fmt: skip
LIVE = frozenset({"Aurora Roulette", "Aurora Blackjack", "Borealis Baccarat", "Borealis Poker"})
RESTING = frozenset({"Comet Chaser", "Elk Express"})


@dataclass(frozen=True, slots=True)
class Game:
    """One game, before a provider words it its own way."""

    id: str
    title: str
    kind: str
    """slot | table."""
    rtp_basis_points: int
    """Return to player: 9610 is 96.10 %."""
    smallest_bet: int
    """Minor units."""
    largest_bet: int
    open: bool
    """False while it is under maintenance."""


def aurora_games() -> dict[str, Game]:
    """By their ids: `northern-spins`, ..."""
    return {game.id: game for game in (_game(i, t, _slug(t)) for i, t in enumerate(AURORA_TITLES))}


def borealis_games() -> dict[str, Game]:
    """By their ids, which are numbers: `5001`, ..."""
    return {game.id: game for game in (_game(i, t, str(5001 + i)) for i, t in enumerate(BOREALIS_TITLES))}


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def _game(index: int, title: str, game_id: str) -> Game:
    return Game(
        id=game_id,
        title=title,
        kind="table" if title in LIVE else "slot",
        rtp_basis_points=9400 + 17 * index,
        smallest_bet=100 if title in LIVE else 10,
        largest_bet=500_000 if title in LIVE else 10_000,
        open=title not in RESTING,
    )
