"""Copies what users have set and been told from the original platform's database.

`python -m mozaiks.migrate --from mongodb://HOST/MozaiksCore --to mongodb://HOST/MozaiksCore`; see
`docs/migrating.md`. Nothing is changed where it comes from, and nothing that is there already is
written over: it can be run again.
"""

from mozaiks.migrate._copy import Migration, Report, Tally

__all__ = ["Migration", "Report", "Tally"]
