"""A village of one's own: a family behind a symmetric NAT calls another one, while the only relay is a small one."""

from simulations.network.nat import PUBLIC, SYMMETRIC
from simulations.village.household import Wishes
from simulations.village.village import Village


def main(seed: int = 1) -> Village:
    """Two calls between the same two phones, one in each direction."""
    village = Village(seed)
    for number in range(3):  # the first household is the one that introduces others
        village.add(nat=PUBLIC, wishes=Wishes(volunteer=True, allocations_max=4, megabits_max=2.0), at=number)
    north, south = village.add(nat=SYMMETRIC, at=5.0), village.add(nat=SYMMETRIC, at=6.0)
    village.call(north, south, seconds=10.0, at=60.0)
    village.call(south, north, seconds=10.0, at=90.0)
    village.run(120.0)
    return village


if __name__ == "__main__":
    for call in main().calls:
        print(
            f"{call.caller} to {call.callee}: {call.outcome}, {call.way} over {call.relays} relays, {call.media_seconds} s"
        )
