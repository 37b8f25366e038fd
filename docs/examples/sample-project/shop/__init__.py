"""A shop: orders, and the parcels they become."""
