"""Calls between all ordered pairs of kinds of sites, several at once, and their result as a table."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.talk import Talk, talk
from tests.nat.town import Town, town

AT_ONCE = 5
SAME_SITE = Kind.NO_HAIRPIN
_SHORT = {
    Kind.PUBLIC: "public",
    Kind.FULL_CONE: "full cone",
    Kind.ADDRESS_RESTRICTED: "address-r.",
    Kind.PORT_RESTRICTED: "port-r.",
    Kind.SYMMETRIC: "symmetric",
    Kind.CARRIER_GRADE: "carrier",
    Kind.UDP_BLOCKED: "no UDP",
    Kind.NO_HAIRPIN: "no hairpin",
    Kind.IPV6_ONLY: "IPv6 only",
    Kind.DUAL_STACK: "dual stack",
}


def site_name(kind: Kind, which: str) -> str:
    """The name of the first ("a") or second ("b") site of a kind."""
    return f"{kind.name.lower().replace('_', '')}{which}"


def matrix_plans(kinds: Sequence[Kind]) -> list[Plan]:
    """Two sites of each kind; one has a second host, for the call between two hosts behind one NAT."""
    return [
        Plan(site_name(kind, which), kind, hosts=2 if kind is SAME_SITE and which == "a" else 1)
        for kind in kinds
        for which in "ab"
    ]


async def run_matrix(
    folder: Path, kinds: Sequence[Kind] = tuple(Kind), *, one_way_seconds: float = 0.0, at_once: int = AT_ONCE
) -> list[Talk]:
    """Every kind calls every kind: the first site of the caller's kind, the second of the callee's."""
    async with town(folder, matrix_plans(kinds), one_way_seconds=one_way_seconds) as built:
        return await call_all(built, kinds, at_once)


async def call_all(built: Town, kinds: Sequence[Kind], at_once: int = AT_ONCE) -> list[Talk]:
    """In rounds of disjoint pairs, `at_once` calls at a time."""
    talks: list[Talk] = []
    limit = trio.Semaphore(at_once)

    async def call(caller: str, callee: str) -> None:
        async with limit:
            talks.append(await talk(built[caller], built[callee]))

    for shift in range(len(kinds)):
        async with trio.open_nursery() as nursery:
            for index, kind in enumerate(kinds):
                other = kinds[(index + shift) % len(kinds)]
                nursery.start_soon(call, site_name(kind, "a"), site_name(other, "b"))
    if SAME_SITE in kinds:
        near = site_name(SAME_SITE, "a")
        await call(near, f"{near}1")
    return talks


def as_table(talks: Sequence[Talk], kinds: Sequence[Kind]) -> str:
    """A Markdown table: path and milliseconds from INVITE to two-way audio of each pair."""
    cells = {(talk.caller.site.kind, talk.callee.site.kind): cell(talk) for talk in talks if not _is_same_site(talk)}
    header = ["caller \\ callee", *(_SHORT[kind] for kind in kinds)]
    lines = [_row(header), _row(["---"] * len(header))]
    for caller in kinds:
        lines.append(_row([caller.value, *(cells.get((caller, callee), "") for callee in kinds)]))
    lines += [
        "",
        *(f"Two hosts behind one NAT without hairpin: {cell(talk)}." for talk in talks if _is_same_site(talk)),
    ]
    return "\n".join([*lines, summary(talks)])


def cell(talk: Talk) -> str:
    """Path and time of one call, or that it failed."""
    if not talk.is_good:
        return "FAILED"
    return talk.path_name if talk.two_way_ms is None else f"{talk.path_name} {talk.two_way_ms:.0f}"


def summary(talks: Sequence[Talk]) -> str:
    """The whole in one sentence."""
    good = [talk for talk in talks if talk.is_good]
    times = [talk.two_way_ms for talk in good if talk.two_way_ms is not None]
    direct = sum(talk.is_direct for talk in good)
    words = f"{len(good)} of {len(talks)} pairs with audio both ways, {direct} of them direct"
    if not times:
        return f"{words}."
    return (
        f"{words}; from INVITE to two-way audio: median {statistics.median(times):.0f} ms, at most {max(times):.0f} ms."
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_same_site(talk: Talk) -> bool:
    return talk.caller.site is talk.callee.site
