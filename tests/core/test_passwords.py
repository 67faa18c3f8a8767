import pytest

from core.errors import ConfigError
from core.passwords import address_without_password, without_passwords


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:geheim@host/db",
        "postgresql+psycopg2://me:geheim@host:5432/db?sslmode=require",
        "postgresql://:geheim@host/db",
        "mysql://me@host/db?password=geheim",
        "https://host/path?api_key=geheim&x=1",
        "http://me:geheim@127.0.0.1:5000/",
    ],
)
def test_a_password_is_left_out_of_an_address_and_of_a_message(address: str) -> None:
    for shown in (address_without_password(address), without_passwords(f"cannot open '{address}': it is away (x@y)")):
        assert "geheim" not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    "address", ["postgresql://me:ge/h@eim@host/db", "postgresql://me:ge heim@host/db", "mysql://me:ge@heim@host"]
)
def test_a_password_that_should_have_been_quoted_is_left_out_whole(address: str) -> None:
    assert address_without_password(address).startswith(f"{address.partition(':')[0]}://me:***@host")


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/me:you@there/mlflow.db",
        "http://127.0.0.1:5000/#/experiments/1",
        "postgresql://me:${DB_PASSWORD}@host/db",
        "postgresql://me@host:5432/db",
        "postgresql://me:@/db?host=/run",
        "write to anna@example.org: https://example.org",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert address_without_password(text) == without_passwords(text) == text


def test_no_error_of_ours_shows_a_password() -> None:
    assert str(ConfigError("cannot open postgresql://me:geheim@host/db")).endswith("//me:***@host/db")
