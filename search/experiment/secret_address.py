"""Addresses that may hold a password: shown and stored without it, complete only where they are
opened.

In a file the password is best a reference, `postgresql://me:${DB_PASSWORD}@host/db`: it stays as it
is, and `reveal` reads the variable. A password that is written out works too. Then the experiment
keeps it in memory alone: wherever the address is shown or stored (ledger, `experiment.yaml`,
report), a reference to a variable of ours stands in its place, from which later commands take it.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from core.errors import ConfigError
from core.passwords import address_without_password

TRACKING_VARIABLE = "WHOSEHAND_TRACKING_PASSWORD"
STORAGE_VARIABLE = "WHOSEHAND_STORAGE_PASSWORD"
_REFERENCE = re.compile(r"\$\{(\w+)\}")


class Address(str):
    """An address as it may be shown and stored.

    Attributes:
        written: the whole address where a password was written out in it; `None` otherwise. It is
            left behind when the address is pickled.
    """

    written: str | None = None

    @classmethod
    def of(cls, text: str, variable: str) -> "Address":
        """An address as somebody wrote it.

        Args:
            text: with a password, with a reference to one, or without.
            variable: is referred to where a password is written out.
        """
        if isinstance(text, Address):
            return text
        address = cls(address_without_password(text, f"${{{variable}}}"))
        if address != text:
            address.written = text
        return address

    def __reduce__(self) -> tuple[type["Address"], tuple[str]]:
        """Pickle what may be stored."""
        return Address, (str(self),)

    def __deepcopy__(self, _memo: object) -> "Address":
        """Copy nothing: an address does not change."""
        return self


def reveal(address: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address with its password, for what opens it and nothing else.

    Args:
        address: an `Address`, or any text that may hold references.
        environment: has the variables that the address refers to; each holds a password as it is,
            and what an address cannot hold is quoted here.

    Raises:
        ConfigError: names the variable that is missing.
    """
    if isinstance(address, Address) and address.written is not None:
        return address.written
    if address.startswith("sqlite"):  # the path of a file may hold anything
        return str(address)
    for name in _REFERENCE.findall(address):
        if name not in environment:
            raise ConfigError(
                f"The address {address} needs the environment variable {name}, which is not set. Set it to the "
                f"password (such as `read -rs {name}; export {name}`), and run the same command again."
            )
    return _REFERENCE.sub(lambda found: quote(environment[found[1]], safe=""), address)


def keep_address(value: Any, validate: Callable[[Any], Any]) -> Any:
    """Let an `Address` through a pydantic field of text, which would make plain text of it."""
    return value if isinstance(value, Address) else validate(value)


def advice(key: str, address: str | None) -> str:
    """What the user shall know of a password that is written out; empty if none is."""
    if not isinstance(address, Address) or address.written is None:
        return ""
    name = TRACKING_VARIABLE if key.startswith("tracking") else STORAGE_VARIABLE
    return (
        f"{key} holds a password. It is kept out of all records, so that commands which name only the sweep take it "
        f"from the variable {name}. Best write {address} in the file and set the variable: then others may see "
        "the file. Otherwise keep it to yourself (chmod 600)."
    )
