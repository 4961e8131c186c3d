"""The tests' own PostgreSQL server does what the tests that stand on it take for granted."""

import psycopg

from tests.postgres import Server


def test_a_database_starts_as_a_copy_of_its_template(postgres_server: Server) -> None:
    """What was written to a template is in each copy, and what a copy writes stays there."""
    with postgres_server.database() as template:
        with psycopg.connect(template) as connection:
            connection.execute("create table fact (n integer)")
            connection.execute("insert into fact values (1)")
        name = psycopg.conninfo.conninfo_to_dict(template)["dbname"]
        assert isinstance(name, str)
        for _ in range(2):
            with postgres_server.database(name) as copy, psycopg.connect(copy) as connection:
                assert connection.execute("select n from fact").fetchall() == [(1,)]
                connection.execute("insert into fact values (2)")


def test_the_server_is_new_enough(postgres_server: Server) -> None:
    """The tests run on a supported version: 15 or later."""
    with psycopg.connect(postgres_server.admin_url) as connection:
        assert connection.info.server_version >= 15_00_00
