from __future__ import annotations

from gateway.sandbox.games import LIVE, RESTING, aurora_games, borealis_games


def test_two_catalogues_of_twenty_with_a_resting_game_and_two_tables_each() -> None:
    for games in (aurora_games(), borealis_games()):
        assert len(games) == 20
        assert sum(not game.open for game in games.values()) == 1
        assert sum(game.kind == "table" for game in games.values()) == 2
        assert all(0 < game.smallest_bet < game.largest_bet for game in games.values())
    titles = {game.title for game in (*aurora_games().values(), *borealis_games().values())}
    assert titles >= LIVE | RESTING
    assert len(titles) == 40


def test_the_providers_number_their_games_differently() -> None:
    assert "whale-song" in aurora_games()
    assert borealis_games()["5020"].title == "Borealis Poker"
