"""CSDN over HTTP with the cookies of a logged-in browser."""
