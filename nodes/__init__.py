"""The standard node pack of flowgen, installed as ``flowgen_nodes``."""
