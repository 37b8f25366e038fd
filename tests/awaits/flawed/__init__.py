"""A package whose workflow shows what the deaths of its worker leave behind."""
