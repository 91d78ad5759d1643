"""Text to Document: parse with positions, validate, resolve references and axes. Never imports torch."""
