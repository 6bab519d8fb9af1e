"""How long nodes stay and stay away: fits of measured networks, and which of them stands for what.

| name | what was measured | figures | source |
|---|---|---|---|
| KAD_FIRST | KAD, the first session seen of a peer | Weibull, shape 0.545, scale 357.7 min | Steiner |
| KAD | KAD, all later sessions | shape 0.615, scale 169.5 min; sample mean 267 min | Steiner |
| KAD_AWAY | KAD, time between sessions | shape 0.476, scale 413.7 min; sample mean 1110 min | Steiner |
| BITTORRENT | a torrent of FlatOut, a game | shape 0.59, scale 41.9 min | Stutzbach |
| BITTORRENT_DEBIAN | a torrent of Debian | shape 0.38, scale 42.4 min | Stutzbach |
| BITTORRENT_RED_HAT | a torrent of Red Hat | shape 0.34, scale 21.3 min | Stutzbach |
| SKYPE_SUPERNODE | Skype's super-nodes in 2005 | median 5.5 h | Guha |
| SKYPE_RELAY | Skype's relays in 2007 | median 3.5 h, longest 42.5 days | Kho |

Steiner, En-Najjary, Biersack, Analyzing Peer Behavior in KAD, Eurécom RR-07-205, 2007 (half a year of crawls; the numbers of
the fits as the simulator PeerfactSim quotes them). Stutzbach, Rejaie, Understanding Churn in Peer-to-Peer Networks, IMC 2006
(Gnutella and Kad are alike: sessions are not exponential, most are short, most peers at any moment are in long ones). Guha,
Daswani, Jain, An Experimental Study of the Skype Peer-to-Peer VoIP System, IPTPS 2006. Kho, Baset, Schulzrinne, Skype Relay
Calls, INFOCOM workshops 2008. Of Skype only medians are published: the shape 0.6 is ours, for the median of the shapes of
eighteen traces is 0.615 (0.34 to 0.82; Zhang, Iosup, Epema, The Peer-to-Peer Trace Archive, PDS-2010-003, table 14).

A simulation is told a mean; the shape decides what that means: of KAD's sessions with a mean of 60 minutes half are shorter
than 23. EXPONENTIAL is there for comparison with studies that take it.
"""

from simulations.workloads.durations import Duration, Weibull

MINUTE, HOUR = 60.0, 3_600.0
SKYPE_SHAPE = 0.6

EXPONENTIAL = Weibull(1.0, HOUR)
KAD_FIRST = Weibull(0.54512, 357.7152 * MINUTE)
KAD = Weibull(0.61511, 169.5385 * MINUTE)
KAD_AWAY = Weibull(0.47648, 413.6765 * MINUTE)
BITTORRENT = Weibull(0.59, 41.9 * MINUTE)
BITTORRENT_DEBIAN = Weibull(0.38, 42.4 * MINUTE)
BITTORRENT_RED_HAT = Weibull(0.34, 21.3 * MINUTE)
SKYPE_SUPERNODE = Weibull.of_median(SKYPE_SHAPE, 5.5 * HOUR)
SKYPE_RELAY = Weibull.of_median(SKYPE_SHAPE, 3.5 * HOUR)

SESSIONS: dict[str, Duration] = {
    "kad": KAD,
    "kad-first": KAD_FIRST,
    "bittorrent": BITTORRENT,
    "bittorrent-debian": BITTORRENT_DEBIAN,
    "bittorrent-red-hat": BITTORRENT_RED_HAT,
    "skype-supernode": SKYPE_SUPERNODE,
    "skype-relay": SKYPE_RELAY,
    "exponential": EXPONENTIAL,
}
"""Session lengths by the name that a scenario's parameter gives."""


def sessions(mean_minutes: float, kind: str = "kad") -> Duration:
    """Session lengths of this kind (a key of SESSIONS) with this mean."""
    return SESSIONS[kind].scaled_to(mean_minutes * MINUTE)


def absences(mean_minutes: float) -> Duration:
    """Times away, in the shape of KAD's, with this mean."""
    return KAD_AWAY.scaled_to(mean_minutes * MINUTE)
