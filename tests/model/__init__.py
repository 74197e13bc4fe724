"""Random histories of both systems, of people and of failing runs; see test_histories.py."""
