"""The owners of credentials that a server deals with now, so that a quota survives the end of an allocation."""

from media.turn.quota import User
from media.turn.settings import TurnSettings

USERS_IDLE_MAX = 1_024
USER_IDLE_SECONDS = 60.0


class Users:
    """Users by name. Those without allocations are forgotten after USER_IDLE_SECONDS, or when there are USERS_IDLE_MAX of them."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._users: dict[str, User] = {}
        self._idle: dict[str, None] = {}  # in the order in which they fell idle

    def __len__(self) -> int:
        return len(self._users)

    def find(self, name: str, now: float) -> User:
        """The user called `name`, new if need be."""
        user = self._users.get(name)
        if user is not None:
            return user
        self._forget_idle(now)
        user = User(
            name,
            bytes_per_second=self._settings.bytes_per_second_per_user_max,
            requests_per_second=self._settings.requests_per_second_per_user_max,
            now=now,
        )
        self._users[name] = user
        self._idle[name] = None
        return user

    def take(self, user: User, count: int) -> None:
        """`user` holds `count` relayed addresses more."""
        user.allocations += count
        self._users[user.name] = user
        self._idle.pop(user.name, None)

    def give_back(self, user: User, count: int, now: float) -> None:
        """`user` holds `count` relayed addresses less."""
        user.allocations -= count
        if user.allocations == 0:
            user.idle_since = now
            self._idle[user.name] = None

    def _forget_idle(self, now: float) -> None:
        while self._idle:
            oldest = next(iter(self._idle))
            if len(self._idle) < USERS_IDLE_MAX and self._users[oldest].idle_since + USER_IDLE_SECONDS > now:
                return
            del self._idle[oldest], self._users[oldest]
