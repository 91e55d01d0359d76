"""The configuration: all that an outreach team decides, in one YAML file or over HTTP.

`nodes` reads YAML and keeps the lines, `checking` turns it into a `document` or names every fault,
`changing` writes it to the store, and `watched_file` takes a file up whenever it changes.
"""
