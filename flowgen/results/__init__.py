"""Results of a run: labelled arrays, sheets of pictures, tables, curves, the report."""
