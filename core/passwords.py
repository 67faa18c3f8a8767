"""Takes passwords out of text: in messages, in tracebacks, and out of an address before it is
stored.
"""

import re

_SECRET_KEYS = r"[\w-]*(?:password|passwd|pwd|token|secret|access_?key|api_?key)[\w-]*"
_REFERENCE = r"\$\{\w+\}"
_IN_USER = re.compile(rf"(://[^\s:/@]*):(?!{_REFERENCE}@)[^\s@]+@")
_IN_QUERY = re.compile(rf"(?i)([?&;]{_SECRET_KEYS}=)(?!{_REFERENCE})[^&;\s'\"]+")
# A password may hold `@` and `/`: in a value that is one address, all up to the last `@` can be its
# password.
_UP_TO_LAST_AT = re.compile(rf"(://[^:/@]*):(?!{_REFERENCE}@[^@]*$)(.+)@")


def without_passwords(text: str, instead: str = "***") -> str:
    """A text with the passwords of all addresses in it left out.

    References such as `${DB_PASSWORD}` stay.

    >>> without_passwords("cannot reach postgresql://me:geheim@host/db?sslpassword=x (away)")
    'cannot reach postgresql://me:***@host/db?sslpassword=*** (away)'
    >>> without_passwords("https://me:${DB_PASSWORD}@host")
    'https://me:${DB_PASSWORD}@host'
    """
    return _IN_QUERY.sub(rf"\g<1>{instead}", _IN_USER.sub(rf"\g<1>:{instead}@", text))


def address_without_password(address: str, instead: str = "***") -> str:
    """An address, and nothing else, with its password left out, also one that holds `@`, `/` or
    blanks.

    >>> address_without_password("postgresql://me:p@ss/w rd@host/db", "${DB_PASSWORD}")
    'postgresql://me:${DB_PASSWORD}@host/db'
    """
    rule = _IN_USER if address.startswith(("http://", "https://")) else _UP_TO_LAST_AT
    return _IN_QUERY.sub(rf"\g<1>{instead}", rule.sub(rf"\g<1>:{instead}@", address))
