"""Requests and answers as models, one module for each noun."""
