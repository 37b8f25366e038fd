"""The code that is deployed over them."""
