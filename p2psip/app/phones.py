"""Accounts of phones: strong passwords made here, shown once, kept only as digest secrets."""

from dataclasses import dataclass

from p2psip.app.state import Phone, State, StateError
from p2psip.base.chance import Chance
from p2psip.sip.digest import digest_secret

PASSWORD_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
PASSWORD_GROUPS = 4
PASSWORD_GROUP_LETTERS = 5
NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
NAME_LETTERS_MAX = 32


@dataclass(frozen=True, slots=True)
class NewPhone:
    """A phone account with its password, which is known only at this moment."""

    phone: Phone
    password: str


def make_password(chance: Chance) -> str:
    """A password of 99 bits that can be read out and typed on a keypad of letters."""
    groups = (
        "".join(chance.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_GROUP_LETTERS)) for _ in range(PASSWORD_GROUPS)
    )
    return "-".join(groups)


def add_phone(state: State, address: str, name: str | None, algorithm: str, unix: int, chance: Chance) -> NewPhone:
    """Make and store an account for `address`; its name is the person's, or the person's with a number behind it."""
    realm = address.partition("@")[2]
    chosen = name if name is not None else _free_name(state, address.partition("@")[0])
    if not chosen or len(chosen) > NAME_LETTERS_MAX or not set(chosen) <= NAME_LETTERS:
        raise StateError("the name of a phone has up to 32 small letters, digits, dots, dashes and underscores")
    password = make_password(chance)
    phone = Phone(chosen, address, algorithm, digest_secret(algorithm, chosen, realm, password), unix)
    state.add_phone(phone)
    return NewPhone(phone, password)


def _free_name(state: State, person: str) -> str:
    taken = {phone.name for phone in state.phones()}
    candidates = (person if number == 1 else f"{person}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)
