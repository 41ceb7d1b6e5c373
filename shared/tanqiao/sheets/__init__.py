"""Spreadsheets, read row by row without holding them."""
