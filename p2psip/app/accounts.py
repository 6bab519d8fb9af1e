"""The accounts of phones as the state file has them, and those that are lent to the command line for one errand."""

from p2psip.app.state import State
from p2psip.base.chance import Chance
from p2psip.calls.ports import Account
from p2psip.sip.digest import digest_secret

LENT_MAX = 16
ACCOUNTS_READ_MAX = 256


class StoredAccounts:
    """Fulfils `p2psip.calls.ports.AccountsPort` from the state file, so that a new phone works at once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lent: dict[str, Account] = {}
        self._read: dict[str, Account | None] = {}
        self._version = (-1, -1)

    def lend(self, address: str, chance: Chance) -> tuple[Account, str]:
        """An account and its password for one errand of the command line; the oldest of LENT_MAX is taken back."""
        name, password = f"errand-{chance.token(4)}", chance.token(16)
        realm = address.partition("@")[2]
        account = Account(name, address, "MD5", digest_secret("MD5", name, realm, password))
        self._lent[name] = account
        while len(self._lent) > LENT_MAX:
            del self._lent[next(iter(self._lent))]
        return account, password

    def account(self, name: str) -> Account | None:
        """The account with this user name."""
        if name in self._lent:
            return self._lent[name]
        version = self._state.version()
        if version != self._version or len(self._read) >= ACCOUNTS_READ_MAX:
            self._read, self._version = {}, version
        if name not in self._read:
            phone = self._state.phone(name)
            found = None if phone is None else Account(phone.name, phone.address, phone.algorithm, phone.ha1)
            self._read[name] = found
        return self._read[name]
