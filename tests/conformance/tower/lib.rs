//! Nothing of its own: the tests are in `tests/`, and `../run` brings tower-sessions' own.
