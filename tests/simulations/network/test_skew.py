from p2psip.base.chance import Chance
from simulations.network.skew import AHEAD, BEHIND, RIGHT_SECONDS, WRONG_SECONDS_MAX, draw_skew


def test_clocks_are_off_as_measured() -> None:
    chance = Chance.seeded(1)
    drawn = [draw_skew(chance) for _ in range(50_000)]
    wrong = [skew for skew in drawn if abs(skew) > RIGHT_SECONDS]
    assert abs(sum(skew > 0 for skew in wrong) / 50_000 - AHEAD) < 0.003
    assert abs(sum(skew < 0 for skew in wrong) / 50_000 - BEHIND) < 0.003
    assert max(map(abs, wrong)) <= WRONG_SECONDS_MAX
    assert any(abs(skew) > 86_400 for skew in wrong)
