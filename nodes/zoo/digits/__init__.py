"""zoo:digits, a Stable Diffusion of handwritten digits in a few megabytes, and the recipe that trains it."""
